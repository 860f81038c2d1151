#!/bin/sh
# Runs playbooks/image.yml on the build instance, called by airflow.pkr.hcl:
#   provision.sh ANSIBLE_PLAYBOOK [ARGUMENT...] < private key
# with AIRKILN_HOST, AIRKILN_PORT, AIRKILN_USER and AIRKILN_EXTRA_VARS (JSON) in the environment.
#
# The key lives in an agent that dies with the playbook, as ssh-agent does when it is given a command: nothing of it
# stays behind here, even if the bake is killed. Every step is an exec, so that what Packer ends is the playbook.
# The instance is a minute old and nothing vouches for its host key; the agent's key is of use there alone.
set -eu
cd "$(dirname "$0")/.."
playbook_command=$1
shift
export PYTHONUNBUFFERED=1 # each task shows when it ends
exec ssh-agent sh -euc 'ssh-add -q -; exec "$@" </dev/null' sh \
  "$playbook_command" playbooks/image.yml \
  --inventory "$AIRKILN_HOST:$AIRKILN_PORT," \
  --user "$AIRKILN_USER" \
  --ssh-common-args '-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR' \
  --extra-vars "$AIRKILN_EXTRA_VARS" \
  "$@"
