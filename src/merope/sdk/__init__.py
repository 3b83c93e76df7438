"""What capabilities and add-on authors share: cluster sets, decisions, client certificates, serving webhooks."""
