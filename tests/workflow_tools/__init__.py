"""Tools for workflow files: check one, convert it to what the server takes, run it on node classes without a server.

problems = check_workflow(workflow, object_info(classes))
result = run_graph(to_api(workflow, object_info(classes)), classes)
"""

from __future__ import annotations

from .checking import check_workflow
from .converting import to_api
from .running import Result, run_graph

__all__ = ["Result", "check_workflow", "run_graph", "to_api"]
