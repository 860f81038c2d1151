"""What can be injected."""
