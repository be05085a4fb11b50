// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The templates of the channels that are text, in Mustache (mustache.github.io/mustache.5.html). Every inserted value
/// is escaped for its channel by the content type the template begins with; only links, which have been checked, go
/// into Markdown as they are.
enum NoticeTemplates {
    static let terminal = """
        {{% CONTENT_TYPE:NOTICE_TERMINAL}}
        {{symbol}} {{bold}}{{title}}{{plain}}
           {{headline}}

        {{#facts}}
           {{faint}}{{padded}}{{plain}}  {{value}}{{#note}} {{faint}}({{.}}){{plain}}{{/note}}
        {{/facts}}
        {{#hasStages}}

        {{#stages}}
           {{symbol}} {{padded}}  {{paddedWord}}{{#hasNews}}  {{paddedElapsed}}{{/hasNews}}\
        {{#detail}}  {{faint}}{{.}}{{plain}}{{/detail}}
        {{/stages}}
        {{/hasStages}}
        {{#overrides}}

           ⚠️ {{bold}}Override{{plain}} of {{gate}} by {{who}}: {{why}}
        {{#instead}}
              it would have said: {{.}}
        {{/instead}}
        {{/overrides}}
        {{#hasWarnings}}

        {{#warnings}}
           ⚠️ {{.}}
        {{/warnings}}
        {{/hasWarnings}}
        {{#hasDivergence}}

           {{bold}}What differs from the wanted state{{plain}}
        {{#divergence}}
             • {{.}}
        {{/divergence}}
        {{/hasDivergence}}
        {{#hasSteps}}

           {{bold}}What to do next{{plain}}
        {{#steps}}
             {{bullet}} {{text}}
        {{/steps}}
        {{/hasSteps}}
        {{#runURL}}

           {{.}}
        {{/runURL}}

        """

    static let markdown = """
        {{% CONTENT_TYPE:NOTICE_MARKDOWN}}
        ## {{symbol}} {{title}}

        {{headline}}

        {{#hasSteps}}
        ### What to do next

        {{#steps}}
        - {{#isCommand}}<code>{{/isCommand}}{{text}}{{#isCommand}}</code>{{/isCommand}}
        {{/steps}}

        {{/hasSteps}}
        {{#hasDivergence}}
        ### What differs from the wanted state

        {{#divergence}}
        - {{.}}
        {{/divergence}}

        {{/hasDivergence}}
        {{#overrides}}
        > ⚠️ **Override** of **{{gate}}** by **{{who}}**: {{why}}{{#instead}}<br>It would have said: {{.}}{{/instead}}

        {{/overrides}}
        {{#warnings}}
        > ⚠️ {{.}}

        {{/warnings}}
        | | |
        |---|---|
        | **App** | {{app}} |
        {{#facts}}
        | **{{label}}** | {{#isCode}}<code>{{/isCode}}{{value}}{{#isCode}}</code>{{/isCode}}{{#note}} ({{.}}){{/note}} |
        {{/facts}}
        {{#hasStages}}

        | Stage | Result | Time | |
        |---|---|---|---|
        {{#stages}}
        | {{stageName}} | {{symbol}} {{word}} | {{#elapsed}}{{.}}{{/elapsed}} | {{#detail}}{{.}}{{/detail}} |
        {{/stages}}
        {{/hasStages}}
        {{#links}}

        [{{label}}]({{{target}}})
        {{/links}}

        """

    static let email = """
        {{% CONTENT_TYPE:TEXT}}
        {{symbol}} {{title}}

        {{headline}}

        {{#hasSteps}}
        WHAT TO DO NEXT
        {{#steps}}
          {{bullet}} {{text}}
        {{/steps}}

        {{/hasSteps}}
        {{#hasDivergence}}
        WHAT DIFFERS FROM THE WANTED STATE
        {{#divergence}}
          - {{.}}
        {{/divergence}}

        {{/hasDivergence}}
        {{#overrides}}
        OVERRIDE of {{gate}} by {{who}}: {{why}}
        {{#instead}}
        It would have said: {{.}}
        {{/instead}}

        {{/overrides}}
        {{#warnings}}
        WARNING: {{.}}

        {{/warnings}}
        App: {{app}}
        {{#facts}}
        {{label}}: {{value}}{{#note}} ({{.}}){{/note}}
        {{/facts}}
        {{#hasStages}}

        STAGES
        {{#stages}}
        {{symbol}} {{stageName}}: {{word}}{{#elapsed}} in {{.}}{{/elapsed}}{{#detail}} - {{.}}{{/detail}}
        {{/stages}}
        {{/hasStages}}
        {{#runURL}}

        Run: {{.}}
        {{/runURL}}
        {{#appURL}}
        Open: {{.}}
        {{/appURL}}

        --\u{20}
        Sent by Airboss for the {{about}}, {{finished}}

        """
}
