"""Emulates AWS on one Linux machine: a network, machines under systemd, EC2 and its metadata service.

Everything lives in network namespaces of its own and below ``build/rehearsal/``; nothing of the product
knows about it. ``python -m rehearsal --help`` lists the commands.
"""
