"""Amazon EC2 Auto Scaling: groups keep their capacity, wait for lifecycle hooks and refresh their instances.

``install`` replaces moto's Auto Scaling. The modules import in one direction: ``responses`` → ``backend`` →
``policies`` → ``refreshing`` → ``membership`` → ``reconciliation`` → ``placement`` → ``models``. What only
decides imports neither moto nor other services: ``lifecycle``, ``health``, ``refresh`` and ``tracking``.
"""
