"""Sessions of kubectl, and what they print on a real API server.

``commands`` holds the sessions, ``runner`` runs one and makes its output comparable, ``recorded/`` has the output that
each version of kubectl gave on a real kube-apiserver. Recorded anew by

    PYTHONPATH=tests .venv/bin/python -m e2e.sessions --control-plane=real
"""
