"""The language of audit rules: auditctl text to audit_rule_data and back."""
