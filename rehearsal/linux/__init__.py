"""Machines, networks and processes of this host; knows nothing of AWS."""
