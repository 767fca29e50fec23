"""What the ledger takes in, told to other systems as it comes, in their own words.

May import: ledger and below. Nothing here is waited for: who records hands over what is committed,
and goes on. What cannot be delivered is dropped, counted by its reason, and said.
"""
