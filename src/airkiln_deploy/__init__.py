"""What the playbooks decide and do on the machine that runs them, as plain Python that tests can import.

It runs where `ansible-playbook` runs and is never installed on an instance: the image's wheel holds `airkiln`
alone (pyproject.toml). The plug-ins beside playbooks and roles (filter_plugins, library) hold only what
Ansible needs: names, arguments and documentation.

- `template`: reads the CloudFormation templates, and resolves their conditions and rules.
- `plan`: which stacks a deployment makes, in which order and with which parameters, or why none.
- `pools`: the settings of worker pools, checked before anything is made.
- `stacks`: what stacks report: outputs, change sets, failures; which ones a destruction deletes.
- `requirements`: a team's own Python requirements, compared with the lock of Airflow.
- `environment`, `parameter_store`, `console`, `service_role`: the calls to AWS behind the modules.
"""
