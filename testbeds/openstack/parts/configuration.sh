# The configuration of every service, written anew at each start. Sourced by up.

authtoken() {   # authtoken USER
    cat <<-EOF
	auth_type = password
	auth_url = http://$TB_IP:$TB_PORT_KEYSTONE/v3
	username = $1
	password = $TB_PASSWORD
	user_domain_name = Default
	project_name = service
	project_domain_name = Default
	region_name = $TB_REGION
	EOF
}
keystone_authtoken() {
    echo "[keystone_authtoken]"
    authtoken "$1"
    cat <<-EOF
	www_authenticate_uri = http://$TB_IP:$TB_PORT_KEYSTONE/v3
	memcached_servers = $TB_IP:$TB_PORT_MEMCACHED
	service_token_roles = service
	service_token_roles_required = true
	EOF
}
database() {
    printf '[%s]\nconnection = %s\nmax_retries = 30\nmax_pool_size = 5\nmax_overflow = 50\n' "$1" "$2"
}

write_config() {
    local e=$STATE/etc
    mkdir -p "$e"/{keystone,placement,glance,neutron,nova,cinder,paste}

    # ---- keystone
    cat >"$e/keystone/keystone.conf" <<-EOF
	[DEFAULT]
	log_file = $STATE/log/keystone.log
	[cache]
	enabled = true
	backend = dogpile.cache.memcached
	memcache_servers = $TB_IP:$TB_PORT_MEMCACHED
	[identity]
	password_hash_rounds = 4
	[token]
	provider = fernet
	expiration = 86400
	[fernet_tokens]
	key_repository = $STATE/keystone/fernet-keys
	[credential]
	key_repository = $STATE/keystone/credential-keys
	$(database database "$(db_url keystone keystone)")
	EOF

    # ---- placement
    cat >"$e/placement/placement.conf" <<-EOF
	[DEFAULT]
	log_file = $STATE/log/placement.log
	[api]
	auth_strategy = keystone
	$(keystone_authtoken placement)
	$(database placement_database "$(db_url placement placement)")
	EOF

    # ---- glance
    cat >"$e/glance/glance-api.conf" <<-EOF
	[DEFAULT]
	log_file = $STATE/log/glance.log
	bind_host = $TB_IP
	bind_port = $TB_PORT_GLANCE
	enabled_backends = files:file
	node_staging_uri = file://$STATE/glance/staging
	[os_glance_staging_store]
	filesystem_store_datadir = $STATE/glance/staging
	[os_glance_tasks_store]
	filesystem_store_datadir = $STATE/glance/tasks
	[glance_store]
	default_backend = files
	[files]
	filesystem_store_datadir = $STATE/glance/images
	[paste_deploy]
	flavor = keystone
	[oslo_concurrency]
	lock_path = $STATE/glance/lock
	$(keystone_authtoken glance)
	$(database database "$(db_url glance glance)")
	EOF
    cp "$e/paste/glance-common.ini" "$e/glance/glance-api-paste.ini"
    : >"$e/glance/glance-image-import.conf"

    # ---- neutron
    cat >"$e/neutron/neutron.conf" <<-EOF
	[DEFAULT]
	log_file = $STATE/log/neutron.log
	host = controller
	state_path = $STATE/neutron
	bind_host = $TB_IP
	bind_port = $TB_PORT_NEUTRON
	transport_url = $AMQP_URL
	core_plugin = ml2
	service_plugins =
	auth_strategy = keystone
	api_paste_config = $e/neutron/api-paste.ini
	api_workers = 2
	rpc_workers = 0
	rpc_state_report_workers = 0
	notify_nova_on_port_status_changes = true
	notify_nova_on_port_data_changes = true
	dhcp_agent_notification = false
	[oslo_concurrency]
	lock_path = $STATE/neutron/lock
	[oslo_messaging_notifications]
	driver = messagingv2
	topics = $TB_NOTIFICATION_TOPICS
	[oslo_policy]
	policy_file = $e/neutron/policy.yaml
	[quotas]
	quota_network = -1
	quota_subnet = -1
	quota_port = -1
	quota_security_group = -1
	quota_security_group_rule = -1
	[nova]
	$(authtoken nova)
	[placement]
	$(authtoken placement)
	$(keystone_authtoken neutron)
	$(database database "$(db_url neutron neutron)")
	EOF
    cat >"$e/neutron/ml2.ini" <<-EOF
	[ml2]
	type_drivers = vxlan
	tenant_network_types = vxlan
	mechanism_drivers = testbed
	extension_drivers = port_security,data_plane_status
	[ml2_type_vxlan]
	vni_ranges = 1:10000
	EOF
    cp "$e/paste/neutron-common.ini" "$e/neutron/api-paste.ini"
    # For the role 'doctor', as docs/how-to/openstack.md has it; so in the other services' policies.
    cat >"$e/neutron/policy.yaml" <<-EOF
	"context_is_advsvc": "role:advsvc or role:doctor"
	"get_port:binding:host_id": "rule:admin_only or role:doctor"
	"update_port:data_plane_status": "rule:admin_only or role:data_plane_integrator or role:doctor"
	EOF

    # ---- nova
    cat >"$e/nova/nova.conf" <<-EOF
	[DEFAULT]
	state_path = $STATE/nova
	my_ip = $TB_IP
	host = controller
	transport_url = $AMQP_URL
	use_neutron = true
	enabled_apis = osapi_compute
	report_interval = $TB_REPORT_INTERVAL
	service_down_time = $TB_SERVICE_DOWN_TIME
	rpc_response_timeout = 60
	allow_resize_to_same_host = false
	[api]
	auth_strategy = keystone
	[wsgi]
	api_paste_config = $e/nova/api-paste.ini
	[conductor]
	workers = 1
	[scheduler]
	workers = 1
	discover_hosts_in_cells_interval = 30
	[notifications]
	notification_format = both
	notify_on_state_change = vm_and_task_state
	versioned_notifications_topics = versioned_notifications
	[oslo_messaging_notifications]
	driver = messagingv2
	topics = $TB_NOTIFICATION_TOPICS
	[oslo_concurrency]
	lock_path = $STATE/nova/lock
	[oslo_policy]
	policy_file = $e/nova/policy.yaml
	[quota]
	instances = -1
	cores = -1
	ram = -1
	server_groups = -1
	server_group_members = -1
	[vnc]
	enabled = false
	[spice]
	enabled = false
	[glance]
	service_type = image
	[cinder]
	os_region_name = $TB_REGION
	[neutron]
	$(authtoken neutron)
	[placement]
	$(authtoken placement)
	[service_user]
	send_service_user_token = true
	$(authtoken nova)
	$(keystone_authtoken nova)
	$(database database "$(db_url nova nova)")
	$(database api_database "$(db_url nova nova_api)")
	EOF
    cp "$e/paste/nova-common.ini" "$e/nova/api-paste.ini"
    # The owner of a server may see the state of the host under it, as the
    # administrator of an NFV cloud would allow.
    cat >"$e/nova/policy.yaml" <<-EOF
	"context_is_admin": "role:admin or role:doctor"
	"os_compute_api:servers:show:host_status": "rule:context_is_admin or project_id:%(project_id)s"
	"compute:servers:create:requested_destination": "rule:context_is_admin or project_id:%(project_id)s"
	EOF

    # ---- cinder: its API alone, nothing makes volumes. With notifications its version here fails to reset a status.
    cat >"$e/cinder/cinder.conf" <<-EOF
	[DEFAULT]
	log_file = $STATE/log/cinder.log
	transport_url = $AMQP_URL
	auth_strategy = keystone
	api_paste_config = $e/cinder/api-paste.ini
	state_path = $STATE/cinder
	resource_query_filters_file = $e/cinder/resource_filters.json
	[oslo_concurrency]
	lock_path = $STATE/cinder/lock
	[oslo_messaging_notifications]
	driver = noop
	[oslo_policy]
	policy_file = $e/cinder/policy.yaml
	$(keystone_authtoken cinder)
	$(database database "$(db_url cinder cinder)")
	EOF
    cp "$e/paste/cinder-common.ini" "$e/cinder/api-paste.ini"
    echo '{}' >"$e/cinder/resource_filters.json"
    echo '"context_is_admin": "role:admin or role:doctor"' >"$e/cinder/policy.yaml"

    # ---- WSGI entry points
    cat >"$STATE/wsgi/cinder.py" <<-EOF
	import sys
	sys.argv = ["cinder-api", "--config-file", "$e/cinder/cinder.conf"]
	from cinder.wsgi.wsgi import initialize_application
	application = initialize_application()
	EOF
    cat >"$STATE/wsgi/keystone.py" <<-EOF
	from keystone.server.wsgi import initialize_public_application
	application = initialize_public_application()
	EOF
    cat >"$STATE/wsgi/placement.py" <<-EOF
	from placement.wsgi import init_application
	application = init_application()
	EOF
    cat >"$STATE/wsgi/glance.py" <<-EOF
	from glance.common.wsgi_app import init_app
	application = init_app()
	EOF
    cat >"$STATE/wsgi/nova-api.py" <<-EOF
	from nova.api.openstack.compute.wsgi import init_application
	application = init_application()
	EOF

    # ---- the testbed's own drivers, found by their entry points
    cp -r "$HERE"/lib/. "$STATE/lib/"
    mkdir -p "$STATE/lib/openstack_testbed-1.dist-info"
    printf 'Metadata-Version: 2.1\nName: openstack-testbed\nVersion: 1\n' \
        >"$STATE/lib/openstack_testbed-1.dist-info/METADATA"
    cat >"$STATE/lib/openstack_testbed-1.dist-info/entry_points.txt" <<-EOF
	[neutron.ml2.mechanism_drivers]
	testbed = testbed_neutron:TestbedMechanismDriver
	EOF
}
