# Written by scripts/write_pages.py, with shtab. Install it for one user:
#   auditsense completion bash > ~/.local/share/bash-completion/completions/auditsense

_shtab_auditsense_detections_subparsers=(list show check test compile except)
_shtab_auditsense_config_subparsers=(dump check sample)
_shtab_auditsense_rules_subparsers=(install remove check list print derive)
_shtab_auditsense_bench_subparsers=(compare calls)
_shtab_auditsense_subparsers=(run replay record doctor status test-alert detections config rules ship units bench schema completion help)

_shtab_auditsense_run_option_strings=(-h --help -c --config --source --audit-rule --costly-rules --no-costly-rules --on-tamper --lean --no-lean --self-test --detections --shipped --no-shipped --only --mapping --exceptions --known-harmless --no-known-harmless -o --output --format --user --priority-boost --status-socket --sink --duration --dry-run --color -q --quiet -v --verbose)
_shtab_auditsense_replay_option_strings=(-h --help -o --output -c --config --format --detections --shipped --no-shipped --only --exceptions --known-harmless --no-known-harmless --mapping --sink --rotated --fail-on-alert --max-alerts --color -q --quiet -v --verbose)
_shtab_auditsense_record_option_strings=(-h --help --to --audit-rule --duration --user)
_shtab_auditsense_doctor_option_strings=(-h --help -a --all --json --self-test -c --config --detections --shipped --no-shipped --only --status-socket --color)
_shtab_auditsense_status_option_strings=(-h --help --json --prometheus --watch -c --config --status-socket --color -v --verbose)
_shtab_auditsense_test_alert_option_strings=(-h --help --user --timeout -c --config --status-socket)
_shtab_auditsense_detections_list_option_strings=(-h --help -c --config --detections --shipped --no-shipped --only)
_shtab_auditsense_detections_show_option_strings=(-h --help -c --config --detections --shipped --no-shipped --only --exceptions --known-harmless --no-known-harmless)
_shtab_auditsense_detections_check_option_strings=(-h --help -c --config --shipped --no-shipped --only)
_shtab_auditsense_detections_test_option_strings=(-h --help --mapping)
_shtab_auditsense_detections_compile_option_strings=(-h --help -c --config --shipped --no-shipped --only)
_shtab_auditsense_detections_except_option_strings=(-h --help --comment)
_shtab_auditsense_detections_option_strings=(-h --help)
_shtab_auditsense_config_dump_option_strings=(-h --help -c --config --source --audit-rule --costly-rules --no-costly-rules --on-tamper --lean --no-lean --self-test --detections --shipped --no-shipped --only --mapping --exceptions --known-harmless --no-known-harmless -o --output --format --user --priority-boost --status-socket --sink)
_shtab_auditsense_config_check_option_strings=(-h --help -c --config --source --audit-rule --costly-rules --no-costly-rules --on-tamper --lean --no-lean --self-test --detections --shipped --no-shipped --only --mapping --exceptions --known-harmless --no-known-harmless -o --output --format --user --priority-boost --status-socket --sink)
_shtab_auditsense_config_sample_option_strings=(-h --help)
_shtab_auditsense_config_option_strings=(-h --help)
_shtab_auditsense_rules_install_option_strings=(-h --help -c --config --detections --shipped --no-shipped --only --costly-rules --no-costly-rules)
_shtab_auditsense_rules_remove_option_strings=(-h --help -c --config --detections --shipped --no-shipped --only --costly-rules --no-costly-rules)
_shtab_auditsense_rules_check_option_strings=(-h --help -c --config --detections --shipped --no-shipped --only --costly-rules --no-costly-rules)
_shtab_auditsense_rules_list_option_strings=(-h --help)
_shtab_auditsense_rules_print_option_strings=(-h --help -c --config --detections --shipped --no-shipped --only --costly-rules --no-costly-rules)
_shtab_auditsense_rules_derive_option_strings=(-h --help -c --config --detections --shipped --no-shipped --only --explain --with)
_shtab_auditsense_rules_option_strings=(-h --help)
_shtab_auditsense_ship_option_strings=(-h --help --spool --to --until-empty --api-key-file --password-file --nats-creds-file --ca-file --client-cert --client-key --header --proxy --compression --timeout --batch --max-rate --status --prometheus --list-refused --retry-refused -q --quiet -v --verbose)
_shtab_auditsense_units_option_strings=(-h --help --to --program)
_shtab_auditsense_bench_compare_option_strings=(-h --help)
_shtab_auditsense_bench_calls_option_strings=(-h --help -c --config --detections --shipped --no-shipped --only --audit-rule --costly-rules --no-costly-rules --rounds --json)
_shtab_auditsense_bench_option_strings=(-h --help --json --html --offline --events --fail-on-missed --color)
_shtab_auditsense_schema_option_strings=(-h --help)
_shtab_auditsense_completion_option_strings=(-h --help)
_shtab_auditsense_help_option_strings=(-h --help)
_shtab_auditsense_option_strings=(-h --help -V --version)

_shtab_auditsense_run__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_run___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_run___source_COMPGEN=_auditsense_sources
_shtab_auditsense_run___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_run___exceptions_COMPGEN=_shtab_compgen_files
_shtab_auditsense_run___user_COMPGEN=_auditsense_users
_shtab_auditsense_run___status_socket_COMPGEN=_shtab_compgen_files
_shtab_auditsense_run___sink_COMPGEN=_auditsense_sinks
_shtab_auditsense_replay_pos_0_COMPGEN=_shtab_compgen_files
_shtab_auditsense_replay__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_replay___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_replay___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_replay___exceptions_COMPGEN=_shtab_compgen_files
_shtab_auditsense_replay___sink_COMPGEN=_auditsense_sinks
_shtab_auditsense_record___to_COMPGEN=_shtab_compgen_files
_shtab_auditsense_record___user_COMPGEN=_auditsense_users
_shtab_auditsense_doctor__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_doctor___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_doctor___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_doctor___status_socket_COMPGEN=_shtab_compgen_files
_shtab_auditsense_status__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_status___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_status___status_socket_COMPGEN=_shtab_compgen_files
_shtab_auditsense_test_alert___user_COMPGEN=_auditsense_users
_shtab_auditsense_test_alert__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_test_alert___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_test_alert___status_socket_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_list__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_list___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_list___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_show_pos_0_COMPGEN=_auditsense_detections
_shtab_auditsense_detections_show__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_show___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_show___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_show___exceptions_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_check_pos_0_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_check__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_check___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_compile_pos_0_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_compile__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_compile___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_detections_except_pos_0_COMPGEN=_shtab_compgen_files
_shtab_auditsense_config_dump__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_config_dump___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_config_dump___source_COMPGEN=_auditsense_sources
_shtab_auditsense_config_dump___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_config_dump___exceptions_COMPGEN=_shtab_compgen_files
_shtab_auditsense_config_dump___user_COMPGEN=_auditsense_users
_shtab_auditsense_config_dump___status_socket_COMPGEN=_shtab_compgen_files
_shtab_auditsense_config_dump___sink_COMPGEN=_auditsense_sinks
_shtab_auditsense_config_check__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_config_check___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_config_check___source_COMPGEN=_auditsense_sources
_shtab_auditsense_config_check___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_config_check___exceptions_COMPGEN=_shtab_compgen_files
_shtab_auditsense_config_check___user_COMPGEN=_auditsense_users
_shtab_auditsense_config_check___status_socket_COMPGEN=_shtab_compgen_files
_shtab_auditsense_config_check___sink_COMPGEN=_auditsense_sinks
_shtab_auditsense_rules_install__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_install___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_install___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_remove__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_remove___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_remove___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_check__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_check___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_check___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_print__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_print___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_print___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_derive__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_derive___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_rules_derive___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_ship___spool_COMPGEN=_shtab_compgen_dirs
_shtab_auditsense_ship___api_key_file_COMPGEN=_shtab_compgen_files
_shtab_auditsense_ship___password_file_COMPGEN=_shtab_compgen_files
_shtab_auditsense_ship___nats_creds_file_COMPGEN=_shtab_compgen_files
_shtab_auditsense_ship___ca_file_COMPGEN=_shtab_compgen_files
_shtab_auditsense_ship___client_cert_COMPGEN=_shtab_compgen_files
_shtab_auditsense_ship___client_key_COMPGEN=_shtab_compgen_files
_shtab_auditsense_units___to_COMPGEN=_shtab_compgen_dirs
_shtab_auditsense_units___program_COMPGEN=_shtab_compgen_files
_shtab_auditsense_bench_compare_pos_0_COMPGEN=_shtab_compgen_files
_shtab_auditsense_bench_compare_pos_1_COMPGEN=_shtab_compgen_files
_shtab_auditsense_bench_calls__c_COMPGEN=_shtab_compgen_files
_shtab_auditsense_bench_calls___config_COMPGEN=_shtab_compgen_files
_shtab_auditsense_bench_calls___detections_COMPGEN=_shtab_compgen_files
_shtab_auditsense_bench_calls___json_COMPGEN=_shtab_compgen_files
_shtab_auditsense_bench___json_COMPGEN=_shtab_compgen_files
_shtab_auditsense_bench___html_COMPGEN=_shtab_compgen_files

_shtab_auditsense_run___on_tamper_choices=(report repair)
_shtab_auditsense_run___mapping_choices=(native auditd_manager)
_shtab_auditsense_run__o_choices=(alerts sequences events)
_shtab_auditsense_run___output_choices=(alerts sequences events)
_shtab_auditsense_run___format_choices=(jsonl compact ocsf)
_shtab_auditsense_run___color_choices=(auto always never)
_shtab_auditsense_replay__o_choices=(alerts sequences events count)
_shtab_auditsense_replay___output_choices=(alerts sequences events count)
_shtab_auditsense_replay___format_choices=(jsonl compact ocsf)
_shtab_auditsense_replay___mapping_choices=(native auditd_manager)
_shtab_auditsense_replay___color_choices=(auto always never)
_shtab_auditsense_doctor___color_choices=(auto always never)
_shtab_auditsense_status___color_choices=(auto always never)
_shtab_auditsense_detections_test___mapping_choices=(native auditd_manager)
_shtab_auditsense_detections_pos_0_choices=(list show check test compile except)
_shtab_auditsense_config_dump___on_tamper_choices=(report repair)
_shtab_auditsense_config_dump___mapping_choices=(native auditd_manager)
_shtab_auditsense_config_dump__o_choices=(alerts sequences events)
_shtab_auditsense_config_dump___output_choices=(alerts sequences events)
_shtab_auditsense_config_dump___format_choices=(jsonl compact ocsf)
_shtab_auditsense_config_check___on_tamper_choices=(report repair)
_shtab_auditsense_config_check___mapping_choices=(native auditd_manager)
_shtab_auditsense_config_check__o_choices=(alerts sequences events)
_shtab_auditsense_config_check___output_choices=(alerts sequences events)
_shtab_auditsense_config_check___format_choices=(jsonl compact ocsf)
_shtab_auditsense_config_pos_0_choices=(dump check sample)
_shtab_auditsense_rules_derive___with_choices=(costly)
_shtab_auditsense_rules_pos_0_choices=(install remove check list print derive)
_shtab_auditsense_ship___compression_choices=(gzip none)
_shtab_auditsense_bench_pos_0_choices=(compare calls)
_shtab_auditsense_bench___color_choices=(auto always never)
_shtab_auditsense_schema_pos_0_choices=(document status)
_shtab_auditsense_completion_pos_0_choices=(bash zsh fish)
_shtab_auditsense_help_pos_0_choices=(run replay record doctor status test-alert detections config rules ship units bench schema completion help)
_shtab_auditsense_pos_0_choices=(run replay record doctor status test-alert detections config rules ship units bench schema completion help)

_shtab_auditsense_run__h_nargs=0
_shtab_auditsense_run___help_nargs=0
_shtab_auditsense_run___costly_rules_nargs=0
_shtab_auditsense_run___no_costly_rules_nargs=0
_shtab_auditsense_run___lean_nargs=0
_shtab_auditsense_run___no_lean_nargs=0
_shtab_auditsense_run___shipped_nargs=0
_shtab_auditsense_run___no_shipped_nargs=0
_shtab_auditsense_run___known_harmless_nargs=0
_shtab_auditsense_run___no_known_harmless_nargs=0
_shtab_auditsense_run___dry_run_nargs=0
_shtab_auditsense_run__q_nargs=0
_shtab_auditsense_run___quiet_nargs=0
_shtab_auditsense_run__v_nargs=0
_shtab_auditsense_run___verbose_nargs=0
_shtab_auditsense_replay_pos_0_nargs=+
_shtab_auditsense_replay__h_nargs=0
_shtab_auditsense_replay___help_nargs=0
_shtab_auditsense_replay___shipped_nargs=0
_shtab_auditsense_replay___no_shipped_nargs=0
_shtab_auditsense_replay___known_harmless_nargs=0
_shtab_auditsense_replay___no_known_harmless_nargs=0
_shtab_auditsense_replay___rotated_nargs=0
_shtab_auditsense_replay___fail_on_alert_nargs=0
_shtab_auditsense_replay__q_nargs=0
_shtab_auditsense_replay___quiet_nargs=0
_shtab_auditsense_replay__v_nargs=0
_shtab_auditsense_replay___verbose_nargs=0
_shtab_auditsense_record__h_nargs=0
_shtab_auditsense_record___help_nargs=0
_shtab_auditsense_doctor__h_nargs=0
_shtab_auditsense_doctor___help_nargs=0
_shtab_auditsense_doctor__a_nargs=0
_shtab_auditsense_doctor___all_nargs=0
_shtab_auditsense_doctor___json_nargs=0
_shtab_auditsense_doctor___self_test_nargs=0
_shtab_auditsense_doctor___shipped_nargs=0
_shtab_auditsense_doctor___no_shipped_nargs=0
_shtab_auditsense_status__h_nargs=0
_shtab_auditsense_status___help_nargs=0
_shtab_auditsense_status___json_nargs=0
_shtab_auditsense_status___prometheus_nargs=0
_shtab_auditsense_status___watch_nargs='?'
_shtab_auditsense_status__v_nargs=0
_shtab_auditsense_status___verbose_nargs=0
_shtab_auditsense_test_alert__h_nargs=0
_shtab_auditsense_test_alert___help_nargs=0
_shtab_auditsense_detections_list__h_nargs=0
_shtab_auditsense_detections_list___help_nargs=0
_shtab_auditsense_detections_list___shipped_nargs=0
_shtab_auditsense_detections_list___no_shipped_nargs=0
_shtab_auditsense_detections_show__h_nargs=0
_shtab_auditsense_detections_show___help_nargs=0
_shtab_auditsense_detections_show___shipped_nargs=0
_shtab_auditsense_detections_show___no_shipped_nargs=0
_shtab_auditsense_detections_show___known_harmless_nargs=0
_shtab_auditsense_detections_show___no_known_harmless_nargs=0
_shtab_auditsense_detections_check_pos_0_nargs=+
_shtab_auditsense_detections_check__h_nargs=0
_shtab_auditsense_detections_check___help_nargs=0
_shtab_auditsense_detections_check___shipped_nargs=0
_shtab_auditsense_detections_check___no_shipped_nargs=0
_shtab_auditsense_detections_test__h_nargs=0
_shtab_auditsense_detections_test___help_nargs=0
_shtab_auditsense_detections_compile_pos_0_nargs='*'
_shtab_auditsense_detections_compile__h_nargs=0
_shtab_auditsense_detections_compile___help_nargs=0
_shtab_auditsense_detections_compile___shipped_nargs=0
_shtab_auditsense_detections_compile___no_shipped_nargs=0
_shtab_auditsense_detections_except__h_nargs=0
_shtab_auditsense_detections_except___help_nargs=0
_shtab_auditsense_detections_pos_0_nargs=A...
_shtab_auditsense_detections__h_nargs=0
_shtab_auditsense_detections___help_nargs=0
_shtab_auditsense_config_dump__h_nargs=0
_shtab_auditsense_config_dump___help_nargs=0
_shtab_auditsense_config_dump___costly_rules_nargs=0
_shtab_auditsense_config_dump___no_costly_rules_nargs=0
_shtab_auditsense_config_dump___lean_nargs=0
_shtab_auditsense_config_dump___no_lean_nargs=0
_shtab_auditsense_config_dump___shipped_nargs=0
_shtab_auditsense_config_dump___no_shipped_nargs=0
_shtab_auditsense_config_dump___known_harmless_nargs=0
_shtab_auditsense_config_dump___no_known_harmless_nargs=0
_shtab_auditsense_config_check__h_nargs=0
_shtab_auditsense_config_check___help_nargs=0
_shtab_auditsense_config_check___costly_rules_nargs=0
_shtab_auditsense_config_check___no_costly_rules_nargs=0
_shtab_auditsense_config_check___lean_nargs=0
_shtab_auditsense_config_check___no_lean_nargs=0
_shtab_auditsense_config_check___shipped_nargs=0
_shtab_auditsense_config_check___no_shipped_nargs=0
_shtab_auditsense_config_check___known_harmless_nargs=0
_shtab_auditsense_config_check___no_known_harmless_nargs=0
_shtab_auditsense_config_sample__h_nargs=0
_shtab_auditsense_config_sample___help_nargs=0
_shtab_auditsense_config_pos_0_nargs=A...
_shtab_auditsense_config__h_nargs=0
_shtab_auditsense_config___help_nargs=0
_shtab_auditsense_rules_install__h_nargs=0
_shtab_auditsense_rules_install___help_nargs=0
_shtab_auditsense_rules_install___shipped_nargs=0
_shtab_auditsense_rules_install___no_shipped_nargs=0
_shtab_auditsense_rules_install___costly_rules_nargs=0
_shtab_auditsense_rules_install___no_costly_rules_nargs=0
_shtab_auditsense_rules_remove__h_nargs=0
_shtab_auditsense_rules_remove___help_nargs=0
_shtab_auditsense_rules_remove___shipped_nargs=0
_shtab_auditsense_rules_remove___no_shipped_nargs=0
_shtab_auditsense_rules_remove___costly_rules_nargs=0
_shtab_auditsense_rules_remove___no_costly_rules_nargs=0
_shtab_auditsense_rules_check__h_nargs=0
_shtab_auditsense_rules_check___help_nargs=0
_shtab_auditsense_rules_check___shipped_nargs=0
_shtab_auditsense_rules_check___no_shipped_nargs=0
_shtab_auditsense_rules_check___costly_rules_nargs=0
_shtab_auditsense_rules_check___no_costly_rules_nargs=0
_shtab_auditsense_rules_list__h_nargs=0
_shtab_auditsense_rules_list___help_nargs=0
_shtab_auditsense_rules_print__h_nargs=0
_shtab_auditsense_rules_print___help_nargs=0
_shtab_auditsense_rules_print___shipped_nargs=0
_shtab_auditsense_rules_print___no_shipped_nargs=0
_shtab_auditsense_rules_print___costly_rules_nargs=0
_shtab_auditsense_rules_print___no_costly_rules_nargs=0
_shtab_auditsense_rules_derive__h_nargs=0
_shtab_auditsense_rules_derive___help_nargs=0
_shtab_auditsense_rules_derive___shipped_nargs=0
_shtab_auditsense_rules_derive___no_shipped_nargs=0
_shtab_auditsense_rules_derive___explain_nargs=0
_shtab_auditsense_rules_pos_0_nargs=A...
_shtab_auditsense_rules__h_nargs=0
_shtab_auditsense_rules___help_nargs=0
_shtab_auditsense_ship__h_nargs=0
_shtab_auditsense_ship___help_nargs=0
_shtab_auditsense_ship___until_empty_nargs=0
_shtab_auditsense_ship___status_nargs=0
_shtab_auditsense_ship___prometheus_nargs=0
_shtab_auditsense_ship___list_refused_nargs=0
_shtab_auditsense_ship___retry_refused_nargs=0
_shtab_auditsense_ship__q_nargs=0
_shtab_auditsense_ship___quiet_nargs=0
_shtab_auditsense_ship__v_nargs=0
_shtab_auditsense_ship___verbose_nargs=0
_shtab_auditsense_units__h_nargs=0
_shtab_auditsense_units___help_nargs=0
_shtab_auditsense_bench_compare__h_nargs=0
_shtab_auditsense_bench_compare___help_nargs=0
_shtab_auditsense_bench_calls__h_nargs=0
_shtab_auditsense_bench_calls___help_nargs=0
_shtab_auditsense_bench_calls___shipped_nargs=0
_shtab_auditsense_bench_calls___no_shipped_nargs=0
_shtab_auditsense_bench_calls___costly_rules_nargs=0
_shtab_auditsense_bench_calls___no_costly_rules_nargs=0
_shtab_auditsense_bench_pos_0_nargs=A...
_shtab_auditsense_bench__h_nargs=0
_shtab_auditsense_bench___help_nargs=0
_shtab_auditsense_bench___offline_nargs=0
_shtab_auditsense_bench___fail_on_missed_nargs=0
_shtab_auditsense_schema__h_nargs=0
_shtab_auditsense_schema___help_nargs=0
_shtab_auditsense_completion__h_nargs=0
_shtab_auditsense_completion___help_nargs=0
_shtab_auditsense_help_pos_0_nargs='*'
_shtab_auditsense_help__h_nargs=0
_shtab_auditsense_help___help_nargs=0
_shtab_auditsense_pos_0_nargs=A...
_shtab_auditsense__h_nargs=0
_shtab_auditsense___help_nargs=0
_shtab_auditsense__V_nargs=0
_shtab_auditsense___version_nargs=0


# Custom Preamble
_auditsense_users() { compgen -u -- "$1"; }
_auditsense_detections() {
  local name rest
  while read -r name rest; do
    [[ $name == "$1"* ]] && printf '%s\n' "$name"
  done < <(auditsense detections list 2>/dev/null)
}
_auditsense_paths() { # WORD PREFIX...
  local word=$1 prefix
  shift
  for prefix; do
    [[ $word == "$prefix"* ]] && compgen -P "$prefix" -f -- "${word#"$prefix"}"
  done
}
_auditsense_sinks() {
  compgen -W "stdout journald syslog file: spool: syslog:udp:// syslog:tcp://" -- "$1"
  _auditsense_paths "$1" file: spool: syslog:
}
_auditsense_sources() {
  compgen -W "auto netlink multicast audisp unix: log:" -- "$1"
  _auditsense_paths "$1" unix: log:
}

# End Custom Preamble

# $1=COMP_WORDS[1]
_shtab_compgen_files() {
  compgen -f -- $1  # files
}

# $1=COMP_WORDS[1]
_shtab_compgen_dirs() {
  compgen -d -- $1  # recurse into subdirs
}

# $1=COMP_WORDS[1]
_shtab_replace_nonword() {
  echo "${1//[^[:word:]]/_}"
}

# set default values (called for the initial parser & any subparsers)
_set_parser_defaults() {
  local subparsers_var="${prefix}_subparsers[@]"
  sub_parsers=${!subparsers_var-}

  local current_option_strings_var="${prefix}_option_strings[@]"
  current_option_strings=${!current_option_strings_var}

  completed_positional_actions=0

  _set_new_action "pos_$completed_positional_actions" true
}

# $1=action identifier
# $2=positional action (bool)
# set all identifiers for an action's parameters
_set_new_action() {
  current_action="${prefix}_$(_shtab_replace_nonword $1)"

  local current_action_compgen_var=${current_action}_COMPGEN
  current_action_compgen="${!current_action_compgen_var-}"

  local current_action_choices_var="${current_action}_choices[@]"
  current_action_choices="${!current_action_choices_var-}"

  local current_action_nargs_var="${current_action}_nargs"
  if [ -n "${!current_action_nargs_var-}" ]; then
    current_action_nargs="${!current_action_nargs_var}"
  else
    current_action_nargs=1
  fi

  current_action_args_start_index=$(( $word_index + 1 - $pos_only ))

  current_action_is_positional=$2
}

# Notes:
# `COMPREPLY`: what will be rendered after completion is triggered
# `completing_word`: currently typed word to generate completions for
# `${!var}`: evaluates the content of `var` and expand its content as a variable
#     hello="world"
#     x="hello"
#     ${!x} -> ${hello} -> "world"
_shtab_auditsense() {
  local completing_word="${COMP_WORDS[COMP_CWORD]}"
  local previous_word="${COMP_WORDS[COMP_CWORD-1]}"
  local completed_positional_actions
  local current_action
  local current_action_args_start_index
  local current_action_choices
  local current_action_compgen
  local current_action_is_positional
  local current_action_nargs
  local current_option_strings
  local sub_parsers
  COMPREPLY=()

  local prefix=_shtab_auditsense
  local word_index=0
  local pos_only=0 # "--" delimiter not encountered yet
  _set_parser_defaults
  word_index=1

  # determine what arguments are appropriate for the current state
  # of the arg parser
  while [ $word_index -ne $COMP_CWORD ]; do
    local this_word="${COMP_WORDS[$word_index]}"

    if [[ $pos_only = 1 || " $this_word " != " -- " ]]; then
      if [[ -n $sub_parsers && " ${sub_parsers[@]} " == *" $this_word "* ]]; then
        # valid subcommand: add it to the prefix & reset the current action
        prefix="${prefix}_$(_shtab_replace_nonword $this_word)"
        _set_parser_defaults
      fi

      if [[ " ${current_option_strings[@]} " == *" $this_word "* ]]; then
        # a new action should be acquired (due to recognised option string or
        # no more input expected from current action);
        # the next positional action can fill in here
        _set_new_action $this_word false
      fi

      if [[ "$current_action_nargs" != "*" ]] && \
         [[ "$current_action_nargs" != "+" ]] && \
         [[ "$current_action_nargs" != "?" ]] && \
         [[ "$current_action_nargs" != *"..." ]] && \
         (( $word_index + 1 - $current_action_args_start_index - $pos_only >= \
            $current_action_nargs )); then
        $current_action_is_positional && let "completed_positional_actions += 1"
        _set_new_action "pos_$completed_positional_actions" true
      fi
    else
      pos_only=1 # "--" delimiter encountered
    fi

    let "word_index+=1"
  done

  # Generate the completions

  COMPREPLY=()
  if [[ $pos_only = 0 && "$completing_word" == -* &&
        ( -z "$current_action_compgen" || "$current_action_is_positional" = true ) ]]; then
    # optional argument started: use option strings
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
      compgen -W "${current_option_strings[*]}" -- "$completing_word")
  elif [[ "$previous_word" =~ ^[0-9\&]*[\<\>]\>?$ ]]; then
    # handle redirection operators
    compopt -o filenames 2>/dev/null || : # bash>=4
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$completing_word")
  else
    # use choices & compgen
    local action_compgen_word="$completing_word"
    # handle tab-completing in the middle of a line (#248 <- #116)
    [[ -n "$current_action_compgen" && "$completing_word" == -* ]] && action_compgen_word=""
    [ -n "$current_action_compgen" ] && {
      [[ "$current_action_compgen" =~ _(file|dir|glob|FILE|DIR|GLOB)|File|Dir|Glob ]] &&
        compopt -o filenames 2>/dev/null || : # bash>=4
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
        "$current_action_compgen" "$action_compgen_word")
    }
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
      compgen -W "${current_action_choices[*]}" -- "$completing_word")
  fi

  if [[ ${#COMPREPLY[@]} = 0 ]]; then
    # native fallback matches are not necessarily filenames (e.g. variables)
    compopt +o filenames 2>/dev/null || : # bash>=4
  fi

  return 0
}

_auditsense() {
  local rest=${COMP_LINE:0:COMP_POINT} words=() word index
  for ((index = 0; index <= COMP_CWORD; index++)); do
    word=${COMP_WORDS[index]}
    if ((index)) && [[ $rest != [[:blank:]]* ]]; then
      words[${#words[@]} - 1]+=$word
    else
      rest=${rest#"${rest%%[![:blank:]]*}"}
      words+=("$word")
    fi
    rest=${rest#"$word"}
  done
  word=${words[${#words[@]} - 1]}
  if [[ $word == --*=* ]]; then
    words[${#words[@]} - 1]=${word%%=*}
    word=${word#*=}
    words+=("$word")
  fi
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
  _shtab_auditsense "$1" "$word" "${words[${#words[@]} - 2]}"
  for ((index = 0; index < ${#COMPREPLY[@]}; index++)); do
    [[ ${COMPREPLY[index]} == *[:/] ]] && compopt -o nospace 2>/dev/null
    COMPREPLY[index]=${COMPREPLY[index]#"${word%"${word##*:}"}"}
  done
}

complete -o bashdefault -F _auditsense auditsense
