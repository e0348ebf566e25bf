-- For prosody.cfg.lua: a place for pushd's component (etc/pushd-component.yml), and the modules that
-- have Prosody publish to push services and hold the sessions of sleeping phones. In Debian,
-- mod_cloud_notify comes with the package prosody-modules.

modules_enabled = {
	"disco"; "roster"; "saslauth"; "tls"; "ping"; "carbons"; "offline";
	"smacks";        -- stream management, with resumption
	"cloud_notify";  -- XEP-0357, the user's side
	"csi_simple";
}

component_interfaces = { "127.0.0.1" }
component_ports = { 5347 }

VirtualHost "example.net"

Component "push.example.net"
	component_secret = "the secret that pushd has as well"
