"""AWS: botocore clients, and the parts of botocore's service models that the daemons use."""
