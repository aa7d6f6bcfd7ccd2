'use strict';
'require view';
'require form';
'require fs';
'require rpc';
'require uci';
'require ui';
'require preload.dots-callhome';
'require dots-callhome.bus as bus';
'require dots-callhome.words as words';
'require dots-callhome.parts as parts';
/* global bus, words, parts */

const CONFIG = 'dots-callhome';

/* How people are reached: a file of its own, as who may only read the settings has no business with its secrets. */
const NOTIFY = 'dots-callhome-notify';

/* What the bus calls an interface. */
const INTERFACE = 'network.interface.';

/* Where credentials live; the rights of a login are bound to this folder. */
const FOLDER = '/etc/dots-callhome/';

/* Readable for its owner only. The service's own user is made the owner when the service is reloaded. */
const MODE = 0o600;

/* Larger files are no credentials. */
const MAX_FILE = 32768;

/* How long a connection test watches an attempt, for how long it waits for one to begin (the protocol keeps attempts a */
/* minute apart, five after several failures), and how often it looks; in milliseconds. */
const TEST_LASTS = 20000;
const TEST_WAITS = 75000;
const TEST_STEP = 1000;

/* What must stand in a file of each kind, by the labels of RFC 7468; a shared secret has no such form. */
const LABELS = {
	ca: [ 'CERTIFICATE' ],
	certificate: [ 'CERTIFICATE' ],
	key: [ 'PRIVATE KEY', 'EC PRIVATE KEY', 'RSA PRIVATE KEY' ],
	peer_key: [ 'PUBLIC KEY' ]
};

const { el, stranger, mark, button } = parts;

function isAbsolute(section_id, value) {
	return !value || value.charAt(0) == '/' ? true : _('The path must start with /');
}

/* What came of a test message, a line for each way. */
function delivery(line) {
	const [ way, outcome, detail ] = line.split(' ');
	const name = { ntfy: 'ntfy', email: _('E-mail'), telegram: 'Telegram', url: _('Web address'), mqtt: 'MQTT' }[way] ?? way;

	switch (outcome) {
	case 'sent': return parts.notice('success', el('p', {}, _('%s: sent.').format(name)));
	case 'late': return parts.notice('error', el('p', {}, _('%s: no answer in time.').format(name)));
	case 'wrong': return parts.notice('error', el('p', {}, _('%s: this can’t be used as it is.').format(name)));
	case 'missing': return parts.notice('error', el('p', {}, _('%s: the router lacks the program %s.').format(name, detail)));
	case 'failed': return parts.notice('error', el('p', {}, _('%s: not taken (code %s).').format(name, detail)));
	default: return parts.notice('warning', el('p', {}, _('Nothing is set yet. Save and apply first.')));
	}
}

/* Refuses the commonest mistake: the wrong file of the three. */
function mistake(option, text) {
	if (!text.trim())
		return _('The file is empty.');

	if (!LABELS[option])
		return null;

	const found = [];
	const label = /-----BEGIN ([A-Z0-9 ]+)-----/g;
	let match;

	while ((match = label.exec(text)) != null)
		found.push(match[1]);

	if (!found.length)
		return _('This is no PEM file: it must contain a line such as -----BEGIN %s-----.').format(LABELS[option][0]);

	if (!found.some(l => LABELS[option].includes(l)))
		return _('This file contains a %s, but a %s is needed here.').format(found[0], LABELS[option][0]);

	if (option != 'key' && found.some(l => l.includes('PRIVATE')))
		return _('This file also contains a private key, which belongs into the file for the key only.');

	return null;
}

/* A path, and beside it the way to put a file there from this computer. */
const Credential = form.Value.extend({
	renderWidget(section_id, option_index, cfgvalue) {
		const path = FOLDER + section_id + '-' + this.suffix;
		const said = el('div', { 'class': 'small', 'role': 'status', 'style': 'margin-top:.4em' });
		const input = el('input', { 'type': 'file', 'style': 'display:none', 'aria-label': this.title,
			'data-upload': this.option });
		const upload = button('cbi-button-action', _('Upload a file…'), () => input.click(), !L.hasViewPermission());

		input.addEventListener('change', () => {
			const file = input.files[0];

			if (file)
				this.take(section_id, file, path).then(text => { said.textContent = text; });
			input.value = '';
		});

		this.placeholder = path;

		const present = this.present?.get(cfgvalue);

		if (cfgvalue)
			said.textContent = present ? _('There is such a file, of %s.').format(words.date(present.mtime))
				: this.present ? _('There is no such file yet.') : '';

		return Promise.resolve(form.Value.prototype.renderWidget.call(this, section_id, option_index, cfgvalue)).then(node =>
			el('div', {}, node, el('div', { 'style': 'margin-top:.4em' }, upload, input), said));
	},

	take(section_id, file, path) {
		if (file.size > MAX_FILE)
			return Promise.resolve(_('The file is too large for a credential.'));

		return file.text().then(text => {
			const wrong = mistake(this.option, text);

			if (wrong)
				return wrong;

			return fs.write(path, text, MODE).then(() => {
				this.getUIElement(section_id).setValue(path);
				this.map.checkDepends();
				/* The same path with new content is no change that "apply" would notice. */
				L.resolveDefault(bus.service('reload'));

				return _('Uploaded. It is used once the settings are saved and applied.');
			}, error => _('The file could not be stored: %s').format(error.message));
		});
	}
});

/* How the session with each provider stands, and a test that watches it for a while. */
function sessions(peers, test) {
	if (!peers.length)
		return [ el('p', {}, _('No provider is set up yet: add one below.')) ];

	return peers.map(peer => el('div', { 'class': 'card' },
		el('div', { 'class': 'head' },
			el('h4', {}, stranger(peer.name)),
			mark(peer.state == 'connected' ? 'good' : peer.state == 'disabled' ? '' : 'wait', words.sessionState(peer.state))),
		el('p', { 'class': 'small' }, words.session(peer)),
		peer.last_error ? el('p', {}, stranger(peer.last_error)) : '',
		peer.state == 'connected' ? el('p', { 'class': 'small faint' }, stranger([ String(peer.transport ?? '').toUpperCase(),
			peer.address, peer.rtt_ms != null ? _('answers within %d ms').format(Math.max(1, peer.rtt_ms)) : null ].filter(Boolean).join(' · '))) : '',
		test[peer.name] ?? ''));
}

return view.extend({
	load() {
		return Promise.all([
			uci.load(CONFIG),
			L.resolveDefault(uci.load(NOTIFY)),
			/* The names of interfaces and nothing else: what there is to read of them holds passwords and keys. */
			L.resolveDefault(rpc.list(`${INTERFACE}*`), {}),
			L.resolveDefault(fs.list(FOLDER), null)
		]).then(([ , , objects, files ]) => {
			this.interfaces = Object.keys(objects).map(name => name.slice(INTERFACE.length)).filter(name => name != 'loopback');
			/* Who may not list the folder is told nothing about the files. */
			this.present = files ? new Map(files.map(f => [ FOLDER + f.name, f ])) : null;
		});
	},

	/* The connection test: the service reads its settings again and calls, and the page says what comes of it. */
	test() {
		const began = Date.now();
		let ends = began + TEST_LASTS;

		const look = () => bus.status().then(status => {
			const open = words.list(status.peers).filter(p => p.state == 'connecting' || p.state == 'waiting');

			for (const peer of open) {
				const next = Date.now() + words.count(peer.retry_in) * 1000;

				if (next - began < TEST_WAITS)
					ends = Math.max(ends, next + TEST_LASTS);
			}

			for (const peer of words.list(status.peers))
				this.verdicts[peer.name] = this.verdict(peer, Date.now() < ends);
			this.page.refresh();

			if (open.length && Date.now() < ends)
				return new Promise(done => window.setTimeout(done, TEST_STEP)).then(look);
		});

		this.verdicts = {};

		return L.resolveDefault(bus.service('reload')).then(look).catch(() => this.page.refresh());
	},

	verdict(peer, goesOn) {
		switch (peer.state) {
		case 'connected':
			return parts.notice('success', el('p', {}, _('The test succeeded: the provider answers and its identity was checked.')));
		case 'disabled':
			return parts.notice('warning', el('p', {}, _('This provider is not called: see the reason above.')));
		default:
			return goesOn
				? el('p', { 'class': 'spinning' }, _('Testing…'))
				: parts.notice('error', el('p', {}, _('No connection came about. Why the last attempt failed stands above.')));
		}
	},

	renderSessions() {
		const list = el('div', {});
		const test = button('cbi-button-action', _('Test the connection'), ui.createHandlerFn(this, 'test'), !L.hasViewPermission());
		const body = el('div', { 'class': 'cbi-section', 'hidden': '' }, el('h3', {}, _('Connection')), list, el('p', {}, test));

		this.verdicts = {};
		this.page = parts.live(() => bus.status(), status => {
			const peers = words.list(status.peers);

			test.hidden = !peers.length;
			list.replaceChildren(...sessions(peers, this.verdicts));
		}, body);

		return this.page.refresh().then(() => this.page.node);
	},

	globals(map) {
		const s = map.section(form.NamedSection, 'globals', 'globals', _('What happens with requests'));
		let o;

		s.addremove = false;
		s.tab('consent', _('Consent'));
		s.tab('limits', _('Limits'));

		o = s.taboption('consent', form.Flag, 'enabled', _('Switched on'),
			_('The router calls your provider and takes its requests.'));
		o.rmempty = false;

		o = s.taboption('consent', form.ListValue, 'consent', _('Who decides'),
			_('Acting without asking is limited to devices that are surely or likely meant.'));
		o.value('ask', _('Ask me each time'));
		o.value('auto', _('Act at once, and tell me'));
		o.value('observe', _('Never act, only show'));
		o.default = 'ask';

		o = s.taboption('consent', form.ListValue, 'action', _('What an approval does'),
			_('Blocking stops the attack and leaves the device online. Quarantine cuts the device off.'));
		o.value('block', _('Block the attack traffic'));
		o.value('quarantine', _('Quarantine the device'));
		o.default = 'block';

		o = s.taboption('consent', form.Value, 'consent_timeout', _('Wait for an answer'),
			_('Seconds. 0 waits as long as the request lasts.'));
		o.datatype = 'range(0,4294967295)';
		o.placeholder = '0';

		o = s.taboption('consent', form.ListValue, 'timeout_action', _('When nobody has answered by then'));
		o.value('ignore', _('Go on waiting'));
		o.value('approve', _('Approve'));
		o.value('reject', _('Answer that the traffic is legitimate'));
		o.default = 'ignore';

		o = s.taboption('limits', form.Value, 'max_lifetime', _('Longest block'),
			_('Seconds. Granted instead of a longer or unlimited time; the provider may renew it.'));
		o.datatype = 'range(1,4294967295)';
		o.placeholder = '86400';

		o = s.taboption('limits', form.Value, 'max_mitigations', _('Most requests of one provider'));
		o.datatype = 'range(1,1024)';
		o.placeholder = '128';

		o = s.taboption('limits', form.Flag, 'internal_sources', _('Accept internal addresses'),
			_('Requests may name addresses that are not visible outside your home. Leave it off unless your provider tells you otherwise.'));

		o = s.taboption('limits', form.ListValue, 'log_level', _('System log'));
		o.value('error', _('Errors only'));
		o.value('warn', _('Warnings'));
		o.value('info', _('Decisions and sessions'));
		o.value('debug', _('Everything'));
		o.default = 'info';
	},

	credential(s, option, suffix, title, auths, help) {
		const o = s.taboption('trust', Credential, option, title, help);

		o.suffix = suffix;
		o.present = this.present;
		o.validate = isAbsolute;
		/* The daemon takes a provider without a kind of proof to use certificates. */
		auths.forEach(auth => o.depends('auth', auth));

		return o;
	},

	peers(map) {
		const s = map.section(form.TypedSection, 'peer', _('Providers'),
			_('Your provider gives you these settings and files. The name of a new entry is up to you, such as isp.'));
		let o;

		s.addremove = true;
		s.anonymous = false;
		s.addbtntitle = _('Add a provider');
		s.tab('call', _('Provider'));
		s.tab('trust', _('Proof of identity'));
		s.tab('detail', _('Details'));

		o = s.taboption('call', form.Flag, 'enabled', _('Call this provider'));
		o.default = '1';
		o.rmempty = false;

		o = s.taboption('call', form.Value, 'name', _('Name'),
			_('The provider’s certificate must bear this name.'));
		o.datatype = 'hostname';
		o.placeholder = 'callhome.isp.example';

		o = s.taboption('call', form.DynamicList, 'address', _('Addresses'),
			_('Optional. Otherwise the name is looked up, and without a name the default router is called.'));
		o.datatype = 'ipaddr(1)';

		o = s.taboption('call', form.DynamicList, 'interface', _('Upstream'),
			_('The provider may speak about the addresses of this interface.'));
		o.placeholder = 'wan';
		this.interfaces.forEach(name => o.value(name));

		o = s.taboption('trust', form.ListValue, 'auth', _('Kind of proof'));
		o.value('certificate', _('Certificates'));
		o.value('raw-public-key', _('Public keys'));
		o.value('psk', _('Shared secret'));
		o.default = 'certificate';
		o.rmempty = false;

		this.credential(s, 'ca', 'ca.pem', _('Authority'), [ 'certificate' ],
			_('The certificate of the authority that vouches for the provider.'));
		this.credential(s, 'certificate', 'router.pem', _('Certificate of this router'), [ 'certificate' ],
			_('With the intermediate certificates, if there are any.'));
		this.credential(s, 'key', 'router.key', _('Private key of this router'), [ 'certificate', 'raw-public-key' ],
			_('It never leaves the router again.'));
		this.credential(s, 'peer_key', 'peer.pub', _('Public key of the provider'), [ 'raw-public-key' ]);

		o = s.taboption('trust', form.Value, 'psk_identity', _('Identity'), _('The name under which the provider knows this router.'));
		o.datatype = 'maxlength(128)';
		o.depends('auth', 'psk');

		this.credential(s, 'psk_file', 'secret.psk', _('Shared secret'), [ 'psk' ]);

		o = s.taboption('detail', form.ListValue, 'transport', _('Transport'));
		o.value('auto', _('Whatever gets through'));
		o.value('dtls', 'DTLS (UDP)');
		o.value('tls', 'TLS (TCP)');
		o.default = 'auto';

		o = s.taboption('detail', form.Value, 'port', _('Port'));
		o.datatype = 'port';
		o.placeholder = '4647';

		o = s.taboption('detail', form.DynamicList, 'domain', _('Addresses it may speak about'),
			_('Optional. Replaces what the upstream interface tells, such as 198.51.100.7/32.'));
		o.datatype = 'or(ipaddr,cidr)';

		o = s.taboption('detail', form.Value, 'heartbeat_interval', _('Heartbeat'),
			_('Seconds between signs of life, 15 to 240; 0 switches them off.'));
		o.datatype = 'or(range(15,240),range(0,0))';
		o.placeholder = '30';
	},

	devices(map) {
		const s = map.section(form.TypedSection, 'device', _('Rules for single devices'),
			_('They can also be set on the page “Devices”.'));
		let o;

		s.addremove = true;
		s.anonymous = true;
		s.addbtntitle = _('Add a rule');

		o = s.option(form.Value, 'mac', _('MAC address'));
		o.datatype = 'macaddr';
		o.rmempty = false;

		o = s.option(form.Value, 'name', _('Name'));
		o.datatype = 'maxlength(64)';

		o = s.option(form.ListValue, 'policy', _('Rule'));
		o.value('ask', _('Always ask me'));
		o.value('auto', _('Act without asking'));
		o.value('exempt', _('Never touch'));
		o.value('default', _('As set for all devices'));
		o.default = 'ask';
		o.rmempty = false;
	},

	/* One field for each way. The router's own script judges them too. */
	ways() {
		const map = new form.Map(NOTIFY, null, null);
		const s = map.section(form.NamedSection, 'notify', 'notify', _('How your router reaches you'),
			_('When somebody has to decide, when the router has acted by itself, and when a block does not hold. What is empty is not used.'));
		const way = (option, title, placeholder, pattern, help, secret) => {
			const o = s.option(form.Value, option, title, help);

			o.placeholder = placeholder;
			o.password = secret;
			o.validate = (section_id, value) => !value || pattern.test(value) ? true : _('This should look like %s').format(placeholder);
		};

		s.addremove = false;
		way('ntfy', 'ntfy', 'https://ntfy.sh/a-name-nobody-guesses', /^(https?:\/\/[^\s"\\<>]+\/)?[A-Za-z0-9_-]+$/,
			_('For the app ntfy: a topic that nobody guesses. Whoever knows it can read along.'));
		way('email', _('E-mail'), 'you@isp.example', /^[^\s@"\\<>]+@[^\s@"\\<>]+$/, _('Needs the package msmtp, and an account in /etc/msmtprc.'));
		way('telegram', 'Telegram', '123456:secret/987654321', /^\d+:[A-Za-z0-9_-]+\/(-?\d+|@\w+)$/,
			_('The token of your bot, a slash, and the number of the chat. Needs the package curl.'), true);
		way('url', _('Web address'), 'https://home.example/hook', /^https?:\/\/[^\s"\\<>]+$/, _('Gets JSON. Needs the package curl.'), true);
		way('mqtt', 'MQTT', 'mqtt://user:secret@192.168.1.2/topic', /^mqtts?:\/\/[^\s"\\<>]+$/,
			_('Your broker. Needs the package mosquitto-client-ssl or mosquitto-client-nossl.'), true);

		const o = s.option(form.ListValue, 'language', _('Language of messages'));
		o.value('', _('As LuCI'));
		o.value('en', 'English');
		o.value('de', 'Deutsch');
		o.value('fr', 'Français');

		return map;
	},

	tellTest(said) {
		said.replaceChildren(el('p', { 'class': 'spinning' }, _('Sending…')));

		return bus.testMessage().then(told => said.replaceChildren(...told.trim().split('\n').map(delivery)),
			error => said.replaceChildren(parts.notice('error', el('p', {}, words.problem(error)))));
	},

	renderWays() {
		if (!uci.get(NOTIFY, 'notify'))
			return Promise.resolve('');

		const said = el('div', { 'role': 'status' }), map = this.ways();

		this.maps.push(map);

		return map.render().then(node => el('div', { 'id': 'dots-notify' }, node, parts.styled(el('div', { 'class': 'cbi-section' },
			button('cbi-button-action', _('Send a test message'), ui.createHandlerFn(this, 'tellTest', said), !L.hasViewPermission()), said))));
	},

	/* Takes over the provider's file: checked by the router, shown, and only then done. */
	takeProfile(file, said) {
		const fail = error => said.replaceChildren(parts.notice('error', el('p', {}, _('This file can’t be used, and nothing has changed:')),
			el('p', {}, stranger(error.said ?? words.problem(error)))));

		said.replaceChildren();
		if (file.size > MAX_FILE)
			return Promise.resolve(fail({ said: _('The file is too large for a credential.') }));

		return file.text().then(text => bus.stageProfile(text)).then(() => bus.takeProfile(true)).then(told => {
			parts.confirm(_('Take over what your provider wants?'), [
				el('ul', { 'class': 'after' }, told.trim().split('\n').map(line => el('li', {}, stranger(line)))),
				el('p', {}, _('The service then restarts and calls the provider. What you have decided stays.'))
			], _('Take over'), 'cbi-button-apply important', () => bus.takeProfile(false)
				.then(() => bus.service('restart'))
				.finally(() => bus.stageProfile(''))
				.then(() => { location.reload(); }));
		}, fail);
	},

	profile() {
		const said = el('div', { 'role': 'status' });
		const input = el('input', { 'type': 'file', 'style': 'display:none', 'aria-label': _('File from your provider'), 'data-upload': 'profile' });
		const first = !uci.sections(CONFIG, 'peer').some(p => p.enabled != '0' && p.name);

		input.addEventListener('change', () => {
			if (input.files[0])
				this.takeProfile(input.files[0], said);
			input.value = '';
		});

		return parts.styled(el('div', { 'class': 'cbi-section' },
			el('p', { 'class': 'lead' }, first ? _('Your provider has given you one file? It has all that is needed here.')
				: _('A new file from your provider takes the place of the credentials in use.')),
			button(first ? 'cbi-button-action important' : 'cbi-button-neutral', _('Load the file from your provider'), () => input.click(), !L.hasViewPermission()),
			input, said));
	},

	/* One file after the other: what is saved is read anew, and must not be half read while the other form looks at it. */
	handleSave() {
		return this.maps.reduce((before, map) => before.then(() => map.save()), Promise.resolve());
	},

	render() {
		const map = new form.Map(CONFIG, null, null);

		this.maps = [ map ];
		this.globals(map);
		this.peers(map);
		this.devices(map);

		return Promise.all([ this.renderSessions(), map.render(), this.renderWays() ]).then(([ status, settings, ways ]) => E([], [
			el('h2', {}, _('Settings')),
			el('div', { 'class': 'cbi-map-descr' }, _('Which provider may ask for what, and who decides.')),
			this.profile(),
			status,
			ways,
			settings
		]));
	}
});
