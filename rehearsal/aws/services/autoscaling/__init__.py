"""Amazon EC2 Auto Scaling: groups keep their capacity and wait for lifecycle hooks.

``install`` replaces moto's Auto Scaling. The modules import in one direction:
``responses`` → ``backend`` → ``membership`` → ``reconciliation`` → ``models`` → ``lifecycle`` and ``health``.
"""
