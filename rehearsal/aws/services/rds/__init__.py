"""Amazon RDS: moto's API and records, with a PostgreSQL server in a machine behind a database instance.

``install`` replaces moto's RDS. The modules import in one direction: ``install`` → ``backend``; ``postgres``
is the server.
"""
