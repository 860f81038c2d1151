"""What the baked image's security measures: `make security` bakes, boots and examines one."""
