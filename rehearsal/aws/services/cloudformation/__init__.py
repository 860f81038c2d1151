"""Emulates CloudFormation: deploys templates unchanged, through the other services' APIs.

``install`` replaces moto's CloudFormation. The modules import in one direction: ``responses`` → ``backend`` →
``operations`` → ``models``, ``calls`` → ``arguments``, ``table`` → ``template``.

README.md says which file does what, and what is only recorded.
"""
