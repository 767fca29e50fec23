"""Intake: one file per foreign format, each turning what somebody else wrote into entries.

`source` opens files of any size, `formats` recognises their content, `importing` walks paths and
feeds the recorder. A reader yields what it understood and lists what it did not; it never stops
the rest. May import: ledger, dialects, price, model.
"""
