"""The levers: each a small file that changes, refuses, answers or repeats a call, and says why."""
