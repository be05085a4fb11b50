// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The look of the report's page: no fonts, images or scripts from anywhere; light or dark as the reader has it.
enum ReportStyle {
    static let css: Markup = """
        :root { color-scheme: light dark;
          --paper: #fbfbf9; --card: #ffffff; --ink: #1d2430; --faint: #626c7a; --line: #e2e4e0;
          --good: #1e8a4c; --back: #b87400; --bad: #c62f2f; --other: #3b6fb5; --soft: #f1f2ee; }
        @media (prefers-color-scheme: dark) { :root {
          --paper: #14171c; --card: #1c2027; --ink: #e7e9ec; --faint: #98a1ae; --line: #30363f;
          --good: #4cc47e; --back: #e3a63c; --bad: #f07070; --other: #79a9ea; --soft: #252a32; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--paper); color: var(--ink);
          font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
        main { max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
        h1 { font-size: 1.7rem; margin: 0 0 .25rem; letter-spacing: -.01em; }
        h2 { font-size: 1.15rem; margin: 2.4rem 0 .8rem; }
        p { margin: .3rem 0; }
        code, .clock { font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace;
          font-size: .86em; }
        .faint { color: var(--faint); }
        .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .75rem;
          margin: 1.5rem 0 0; }
        .tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
          padding: .9rem 1.1rem; }
        .tile b { display: block; font-size: 1.6rem; line-height: 1.25; font-weight: 650;
          font-variant-numeric: tabular-nums; }
        .tile span { color: var(--faint); font-size: .87rem; }
        .card + .card { margin-top: .75rem; }
        .stack { display: flex; height: 1.5rem; border-radius: 6px; overflow: hidden; background: var(--soft);
          gap: 1px; }
        .stack i { display: block; min-width: 2px; }
        .verified { background: var(--good); } .rolled_back { background: var(--back); }
        .needs_human { background: var(--bad); } .interrupted { background: var(--faint); }
        .refused { background: var(--other); }
        .unavailable { background: color-mix(in srgb, var(--other) 55%, var(--card)); }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
        th, td { text-align: left; padding: .34rem .7rem .34rem 0; border-bottom: 1px solid var(--line);
          vertical-align: top; }
        th { color: var(--faint); font-weight: 500; font-size: .86rem; }
        tr:last-child td { border-bottom: 0; }
        .number { text-align: right; white-space: nowrap; }
        td.wide { width: 100%; }
        .wide { overflow-x: auto; }
        .swatch { display: inline-block; width: .7rem; height: .7rem; border-radius: 3px; margin-right: .5rem; }
        .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: .75rem; }
        svg { display: block; width: 100%; height: 96px; margin-top: .6rem; }
        svg rect { fill: var(--other); }
        .axis { display: flex; justify-content: space-between; color: var(--faint); font-size: .8rem; }
        dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0 0; }
        dt { color: var(--faint); } dd { margin: 0; }
        ol.story { list-style: none; margin: .7rem 0; padding: 0 0 0 .2rem; border-left: 2px solid var(--line); }
        ol.story li { display: grid; grid-template-columns: 5.6rem 1fr; gap: .7rem; padding: .12rem 0 .12rem .7rem; }
        ol.story .clock { color: var(--faint); text-align: right; padding-top: .1rem; }
        ol.story .fault { color: var(--back); } ol.story .violation { color: var(--bad); font-weight: 600; }
        .tag { display: inline-block; border-radius: 5px; padding: 0 .45rem; font-size: .8rem; font-weight: 600;
          border: 1px solid currentColor; }
        .tag.bad { color: var(--bad); } .tag.warn { color: var(--back); } .tag.calm { color: var(--other); }
        .tag.good { color: var(--good); }
        .command { display: block; background: var(--soft); border-radius: 6px; padding: .35rem .6rem;
          overflow-x: auto; white-space: pre; }
        .alarm { border-color: var(--bad); border-width: 2px; }
        footer { margin-top: 3rem; color: var(--faint); font-size: .87rem; }
        """
}
