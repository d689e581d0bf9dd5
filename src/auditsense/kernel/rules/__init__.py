"""Audit rules: auditctl syntax to audit_rule_data and back."""
