"""EC2: instances are machines, images are layers, metadata is served."""
