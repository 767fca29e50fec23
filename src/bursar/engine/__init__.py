"""The engine: levers put around one another, and the policy that says which."""
