"""Elastic Load Balancing, version 2: moto's API and records, with HAProxy behind Application Load Balancers.

``install`` replaces moto's. The modules import in one direction: ``install`` → ``backend`` → ``records`` →
``configuration`` → ``conditions``, ``actions`` → ``models``; ``haproxy`` is the server, ``patches`` corrects
moto.
"""
