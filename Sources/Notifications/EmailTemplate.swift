// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

extension NoticeTemplates {
    /// The e-mail as HTML. Tables and inline styles, since mail clients know little else; the style sheet only adds
    /// what a client may leave out (dark mode, tighter margins on a phone).
    static let html = #"""
        {{% CONTENT_TYPE:NOTICE_HTML}}
        <!DOCTYPE html>
        <html lang="en" xmlns="http://www.w3.org/1999/xhtml">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <meta name="supported-color-schemes" content="light dark">
        <meta name="format-detection" content="telephone=no, date=no, address=no, email=no, url=no">
        <title>{{title}}</title>
        <style>
        @media (max-width: 480px) {
          .page { padding: 0 !important }
          .card { border-radius: 0 !important; border-left: 0 !important; border-right: 0 !important }
          .pad { padding-left: 20px !important; padding-right: 20px !important }
          .label { width: 92px !important }
        }
        @media (prefers-color-scheme: dark) {
          .page { background: #0f1318 !important }
          .card { background: #1a2027 !important; border-color: #2b333d !important }
          .ink { color: #e8ecf1 !important }
          .quiet { color: #9aa6b4 !important }
          .rule { border-color: #2b333d !important }
          .chip { background: #262e38 !important; color: #e8ecf1 !important }
          .note-box { background: #352a12 !important; border-color: #6b5314 !important }
          .alarm-box { background: #33191f !important; border-color: #7a2b3b !important }
          .link { color: #7ab8ff !important }
          .ghost { border-color: #3d4854 !important }
        }
        </style>
        </head>
        <body class="page" style="margin:0;padding:0;background:#eef1f5;-webkit-text-size-adjust:100%;">
        <div style="display:none;max-height:0;overflow:hidden;opacity:0;mso-hide:all;">{{headline}}</div>
        <table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" border="0"
          style="background:#eef1f5;padding:28px 12px;"><tr><td align="center">
        <!--[if mso]><table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0"><tr><td>
        <![endif]-->
        <table role="presentation" class="card" width="100%" cellpadding="0" cellspacing="0" border="0"
          style="max-width:600px;background:#ffffff;border:1px solid #dde3ea;border-radius:14px;overflow:hidden;
          border-collapse:separate;text-align:left;{{font}}">

        <tr><td class="pad" bgcolor="{{color}}" style="background:{{color}};padding:26px 32px 24px;">
          <div style="font-size:12px;line-height:16px;letter-spacing:.08em;text-transform:uppercase;font-weight:600;
            color:#ffffff;opacity:.85;">{{environment}} &nbsp;·&nbsp; {{app}}</div>
          <div style="font-size:24px;line-height:31px;font-weight:700;color:#ffffff;padding-top:7px;">{{title}}</div>
          <div style="font-size:15px;line-height:22px;color:#ffffff;padding-top:7px;overflow-wrap:anywhere;">
            {{headline}}</div>
        </td></tr>

        {{#hasTrouble}}
        <tr><td class="pad" style="padding:22px 32px 0;">
          <table role="presentation" class="{{troubleBox}}" width="100%" cellpadding="0" cellspacing="0" border="0"
            style="{{troubleColors}}border-radius:10px;border-collapse:separate;">
          <tr><td style="padding:16px 18px;">
        {{#hasDivergence}}
            <div class="ink" style="{{heading}}">What differs from the wanted state</div>
        {{#divergence}}
            <div class="ink" style="{{body}}padding:5px 0 0 15px;text-indent:-15px;">•&nbsp; {{.}}</div>
        {{/divergence}}
        {{/hasDivergence}}
        {{#hasBoth}}
            <div style="height:14px;line-height:14px;font-size:1px;">&nbsp;</div>
        {{/hasBoth}}
        {{#hasSteps}}
            <div class="ink" style="{{heading}}">What to do next</div>
        {{#steps}}
        {{#isCommand}}
            <div style="margin-top:8px;background:#1b222b;color:#e8ecf1;border-radius:7px;padding:10px 12px;
              font-family:{{mono}};font-size:13px;line-height:19px;overflow-wrap:anywhere;">{{text}}</div>
        {{/isCommand}}
        {{^isCommand}}
            <div class="ink" style="{{body}}padding-top:8px;">{{text}}</div>
        {{/isCommand}}
        {{/steps}}
        {{/hasSteps}}
          </td></tr></table>
        </td></tr>
        {{/hasTrouble}}

        {{#hasNotes}}
        <tr><td class="pad" style="padding:22px 32px 0;">
          <table role="presentation" class="note-box" width="100%" cellpadding="0" cellspacing="0" border="0"
            style="{{noteColors}}border-radius:10px;border-collapse:separate;">
          <tr><td style="padding:6px 18px 14px;">
        {{#overrides}}
            <div class="ink" style="{{body}}padding-top:8px;">Gate <strong>{{gate}}</strong> overridden by
              <strong>{{who}}</strong>: {{why}}</div>
        {{#instead}}
            <div class="quiet" style="{{small}}padding-top:2px;">It would have said: {{.}}</div>
        {{/instead}}
        {{/overrides}}
        {{#warnings}}
            <div class="ink" style="{{body}}padding-top:8px;">{{.}}</div>
        {{/warnings}}
          </td></tr></table>
        </td></tr>
        {{/hasNotes}}

        <tr><td class="pad" style="padding:20px 32px 0;">
          <table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">
        {{#facts}}
          <tr>
            <td class="label quiet" width="118" valign="top" style="{{small}}width:118px;padding:6px 12px 6px 0;">
              {{label}}</td>
            <td class="ink" valign="top" style="{{body}}padding:5px 0;">
        {{#isCode}}
        {{#link}}
              <a class="link" href="{{.}}" style="color:#0b63ce;font-family:{{mono}};font-size:13px;">{{value}}</a>
        {{/link}}
        {{^link}}
        {{#isLong}}
              <span class="quiet" style="color:#5d6b7a;font-family:{{mono}};font-size:12px;line-height:18px;
                word-break:break-all;">{{value}}</span>
        {{/isLong}}
        {{^isLong}}
              <span class="chip" style="background:#eef1f5;border-radius:5px;padding:2px 6px;font-family:{{mono}};
                font-size:13px;">{{value}}</span>
        {{/isLong}}
        {{/link}}
        {{/isCode}}
        {{^isCode}}
              {{value}}
        {{/isCode}}
        {{#note}}
              <span class="quiet" style="color:#5d6b7a;">{{.}}</span>
        {{/note}}
            </td>
          </tr>
        {{/facts}}
          </table>
        </td></tr>

        {{#hasStages}}
        <tr><td class="pad" style="padding:20px 32px 0;">
          <table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">
        {{#stages}}
          <tr>
            <td class="rule" width="20" valign="top" style="width:20px;padding:11px 0 10px;
              border-top:1px solid #e6ebf0;"><div style="width:10px;height:10px;border-radius:5px;margin-top:6px;
              background:{{stageColor}};font-size:1px;line-height:1px;">&nbsp;</div></td>
            <td class="rule ink" valign="top" style="{{body}}padding:9px 8px 9px 2px;border-top:1px solid #e6ebf0;">
              <strong style="font-weight:600;">{{stageName}}</strong>
              <span class="quiet" style="color:#5d6b7a;">&nbsp;{{word}}</span>
        {{#detail}}
              <div class="quiet" style="{{small}}padding-top:1px;">{{.}}</div>
        {{/detail}}
            </td>
            <td class="rule quiet" align="right" valign="top" style="{{small}}padding:10px 0 9px;white-space:nowrap;
              border-top:1px solid #e6ebf0;">{{#elapsed}}{{.}}{{/elapsed}}</td>
          </tr>
        {{/stages}}
          </table>
        </td></tr>
        {{/hasStages}}

        {{#hasLinks}}
        <tr><td class="pad" style="padding:22px 32px 0;">
          <table role="presentation" cellpadding="0" cellspacing="0" border="0"><tr>
        {{#runURL}}
          <td bgcolor="{{color}}" style="background:{{color}};border-radius:8px;"><a href="{{.}}"
            style="display:inline-block;padding:11px 20px;font-size:14px;line-height:20px;font-weight:600;
            color:#ffffff;text-decoration:none;">View the run</a></td>
          <td width="12" style="width:12px;font-size:1px;">&nbsp;</td>
        {{/runURL}}
        {{#appURL}}
          <td class="ghost" style="border:1px solid #cfd7e0;border-radius:8px;"><a class="ink" href="{{.}}"
            style="display:inline-block;padding:10px 20px;font-size:14px;line-height:20px;font-weight:600;
            color:#1b2733;text-decoration:none;">Open the app</a></td>
        {{/appURL}}
          </tr></table>
        </td></tr>
        {{/hasLinks}}

        <tr><td class="pad quiet" style="{{small}}font-size:12px;padding:24px 32px 26px;">
          Sent by Airboss, {{finished}}</td></tr>
        </table>
        <!--[if mso]></td></tr></table><![endif]-->
        </td></tr></table>
        </body>
        </html>

        """#

    static let font =
        "font-family:-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"
    static let mono = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    static let alarmColors = "background:#fdf1f3;border:1px solid #f2c4cd;"
    static let noteColors = "background:#fff8e6;border:1px solid #f0d48a;"
    static let heading = "font-size:14px;line-height:20px;font-weight:700;color:#1b2733;"
    static let body = "font-size:15px;line-height:22px;color:#1b2733;overflow-wrap:anywhere;"
    static let small = "font-size:13px;line-height:19px;color:#5d6b7a;overflow-wrap:anywhere;"
}
