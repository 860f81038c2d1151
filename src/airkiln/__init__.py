"""The `airkiln` program on an instance. Nothing of Airflow is imported here.

`airkiln boot` loads the parameters of the instance and starts its role (boot, parameters, pools). The daemons
are `failover run`, `lifecycle run` and `autoscale run`. They share host, systemd and aws. A package imports
only packages below it, which tests/unit/test_imports.py checks. errors.py lists the exit codes.
"""
