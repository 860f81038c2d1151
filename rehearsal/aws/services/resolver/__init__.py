"""Amazon's DNS server in a VPC (Route 53 Resolver), at 169.254.169.253.

``messages`` reads and writes DNS messages, ``names`` knows the names of this AWS, ``server`` answers.
"""
