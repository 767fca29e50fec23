"""The gateway's purse."""
