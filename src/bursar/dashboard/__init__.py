"""The analysis as a page that a person opens, prints or sends on.

`page.report_page` draws the dict of `bursar analyze --json` as one file of HTML: no script, nothing
loaded from anywhere, every value escaped. The other modules are pure functions from values to text.
"""
