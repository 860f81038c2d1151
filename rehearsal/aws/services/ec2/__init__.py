"""Amazon EC2, with machines behind instances and layers behind images.

``install`` replaces moto's EC2. The modules import in one direction:
``backend`` → ``instance_facts``, ``models`` → ``hypervisor``, ``images``, ``metadata``.
"""
