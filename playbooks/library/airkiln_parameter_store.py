"""The module airkiln_parameter_store. What it does is in src/airkiln_deploy/parameter_store.py."""

from __future__ import annotations

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from airkiln_deploy import parameter_store
from airkiln_deploy.errors import DeployError

DOCUMENTATION = """
module: airkiln_parameter_store
short_description: Manage the parameters of one Airkiln environment
description:
  - Creates secrets that do not exist yet, and sets the other parameters to the given values.
  - An existing secret is never created again and never overwritten.
  - Parameters that this module wrote earlier and that are no longer given are removed from O(folders).
  - Secret values are created, composed and written inside the module. They are never an argument or a result.
options:
  path:
    description: Path of the environment in Parameter Store, such as V(/airkiln/prod).
    type: str
    required: true
  key_id:
    description: KMS key that encrypts the SecureStrings. Required when one has to be written.
    type: str
    default: ""
  secrets:
    description:
      - Secrets, each by its path below O(path).
      - The value is the kind of secret, one of V(fernet), V(token) and V(password).
    type: dict
    default: {}
  parameters:
    description:
      - Parameters by folder, and in each folder by name.
      - In a value, C({secret:PATH}) stands for the secret at that path, and C({secret-in-url:PATH}) for the
        same secret percent-encoded. A parameter with such a reference is written as a SecureString.
    type: dict
    default: {}
  secret_parameters:
    description: Parameters whose given values are secret, by folder and name. Written as SecureStrings.
    type: dict
    default: {}
  folders:
    description: Folders from which the module removes parameters that it wrote and that are no longer given.
    type: list
    elements: str
    default: []
  not_known_yet:
    description: Text that marks values which only a real run can know. Used in check mode.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Reports what would change and writes nothing.
  diff_mode:
    support: full
    description: Shows values before and after. A secret is shown as the words C(a secret).
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
author: The Airkiln authors
"""

EXAMPLES = """
- name: Write a database URL with a password that is created once
  airkiln_parameter_store:
    path: /airkiln/prod
    key_id: arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000
    secrets:
      deploy/AIRFLOW_PASSWORD: password
    parameters:
      webserver:
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: "postgresql://airflow:{secret-in-url:deploy/AIRFLOW_PASSWORD}@db/airflow"

- name: Set the parameters of a folder and remove those that an earlier run wrote
  airkiln_parameter_store:
    path: /airkiln/prod
    parameters:
      common:
        AIRFLOW__CORE__PARALLELISM: 64
    folders: [common]
"""

RETURN = """
names:
  description: Paths below O(path) of the parameters that were changed, or in check mode would be. Sorted.
  returned: always
  type: list
  elements: str
  sample: [common/AIRFLOW__CORE__PARALLELISM]
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "path": {"type": "str", "required": True},
            "key_id": {"type": "str", "default": "", "no_log": False},
            "secrets": {"type": "dict", "default": {}, "no_log": False},
            "parameters": {"type": "dict", "default": {}},
            "secret_parameters": {"type": "dict", "default": {}, "no_log": True},
            "folders": {"type": "list", "elements": "str", "default": []},
            "not_known_yet": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    request = parameter_store.Request(
        given["secrets"], given["parameters"], given["secret_parameters"], given["folders"], given["key_id"]
    )
    ssm = module.client("ssm", config=parameter_store.RETRIES)
    try:
        outcome = parameter_store.reconcile(ssm, given["path"], request, check_mode=module.check_mode)
    except DeployError as error:
        module.fail_json(msg=str(error))
    for warning in outcome.warnings:
        module.warn(warning)
    module.exit_json(changed=bool(outcome.changes), names=outcome.names(), diff=outcome.diff())


if __name__ == "__main__":
    main()
