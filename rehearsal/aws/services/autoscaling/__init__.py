"""EC2 Auto Scaling: groups keep their capacity and wait for lifecycle hooks."""
