"""Elastic File System: moto's records, and a folder of this host behind each file system."""
