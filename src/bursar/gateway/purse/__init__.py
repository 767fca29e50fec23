"""What a worker may spend: reserved before an attempt is sent, settled when it is recorded."""
