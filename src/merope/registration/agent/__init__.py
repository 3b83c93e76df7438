"""Registration controllers that run beside a managed cluster.

A registration agent lives in *sessions*. A session begins with what is stored: names and, perhaps, a valid hub
credential. If there is none, the bootstrap phase asks for one with the bootstrap kubeconfig (``setup_bootstrap``).
Then the agent waits until the hub lets it in (``setup_admission``), and the steady phase keeps the cluster alive on
the hub (``setup``): heartbeat, status, managed namespaces, renewal. ``Session`` is what the phases know, and how any
of them says that the session is over: the certificate expired, the hub doesn't take it, or the bootstrap kubeconfig
changed. The next session then begins from what is stored. Who runs them in turn is ``merope.klusterlet``.
"""

from merope.registration.agent.identity import Identity
from merope.registration.agent.options import RegistrationAgentOptions
from merope.registration.agent.session import End, Session, setup, setup_admission, setup_bootstrap

FIELD_MANAGER = "registration-agent"

__all__ = [
    "FIELD_MANAGER",
    "End",
    "Identity",
    "RegistrationAgentOptions",
    "Session",
    "setup",
    "setup_admission",
    "setup_bootstrap",
]
