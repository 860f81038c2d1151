"""``python -m rehearsal.aws``: the daemon."""

from rehearsal.aws.server import main

raise SystemExit(main())
