"""What capabilities and add-on authors share: cluster sets, decisions, client-certificate credentials, serving webhooks."""
