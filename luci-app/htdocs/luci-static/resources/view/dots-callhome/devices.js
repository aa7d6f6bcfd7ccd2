'use strict';
'require view';
'require uci';
'require ui';
'require preload.dots-callhome';
'require dots-callhome.bus as bus';
'require dots-callhome.words as words';
'require dots-callhome.parts as parts';
/* global bus, words, parts */

const CONFIG = 'dots-callhome';

/* Devices shown at first, and with each press of "show more". */
const STEP = 50;

/* From as many devices on there is a field to search in. */
const MANY = 8;

/* What needs attention comes first. */
const ORDER = [ 'accused', 'quarantined', 'blocked', 'free', 'exempt' ];

const MARKS = { accused: 'wait', quarantined: 'bad', blocked: 'wait', exempt: '', free: 'good' };

const { el, stranger, mark, button } = parts;

/* What is asked about comes before what is answered. */
function stateOf(device) {
	return device.state == 'free' && words.list(device.mitigations).length ? 'accused' : device.state;
}

function ruleOf(mac) {
	return uci.sections(CONFIG, 'device').find(s => String(s.mac).toLowerCase() == mac);
}

function ruleWords(rule) {
	switch (rule) {
	case 'ask': return _('Always ask me');
	case 'auto': return _('Act without asking');
	case 'exempt': return _('Never touch');
	default: return _('As set for all devices');
	}
}

function ruleHelp(rule) {
	switch (rule) {
	case 'ask': return _('Nothing happens to this device without your consent.');
	case 'auto': return _('When the device is surely or likely meant, the router acts at once and tells you.');
	case 'exempt': return _('Nothing is ever blocked, not even by you; the provider is told that the traffic is legitimate.');
	default: return _('What the settings say about consent holds for this device too.');
	}
}

function matches(device, search) {
	const text = [ device.name, device.mac, device.interface ].concat(words.list(device.addresses)).join(' ');

	return text.toLowerCase().includes(search);
}

return view.extend({
	load() {
		return L.resolveDefault(uci.load(CONFIG));
	},

	act(call) {
		return call().finally(() => this.page.refresh());
	},

	askQuarantine(device) {
		parts.confirm(_('Quarantine the device?'), [
			el('p', { 'class': 'lead' }, el('strong', {}, stranger(words.name(device)))),
			el('p', {}, _('Will be cut off.')),
			parts.afterwards(
				_('It reaches neither the Internet nor other devices in your home.'),
				_('It still gets an address and name service, and reaches the web page of this router.'),
				_('Neighbours on the same switch or radio may stay within its reach where the hardware forwards by itself.'),
				_('You can release it here at any time.')),
			parts.lifetime([ '', _('Until I release it') ]),
			parts.comment()
		], _('Quarantine device'), 'cbi-button-negative important', values => {
			const { lifetime, comment } = parts.chosen(values);

			return this.act(() => bus.quarantine(device.mac, lifetime, comment));
		});
	},

	askRelease(device) {
		const n = words.list(device.mitigations).length;

		parts.confirm(_('Release the device?'), [
			el('p', {}, el('strong', {}, stranger(words.name(device)))),
			parts.afterwards(
				_('Quarantine and blocks on this device end at once, even if it still attacks.'),
				n ? _('The provider is told where a request was about this device alone.') : null)
		], _('Release'), 'cbi-button-action important', () => this.act(() => bus.release(device.mac)));
	},

	askRule(device) {
		const section = ruleOf(device.mac), now = section?.policy == 'default' ? '' : section?.policy ?? (section ? 'ask' : '');

		parts.confirm(_('Standing rule'), [
			el('p', {}, el('strong', {}, stranger(words.name(device)))),
			[ '', 'ask', 'auto', 'exempt' ].map(rule => el('label', { 'class': 'pick' },
				el('input', { 'type': 'radio', 'name': 'rule', 'value': rule, 'checked': rule == now ? '' : null }),
				el('span', {}, el('strong', {}, ruleWords(rule)), el('br'), el('span', { 'class': 'small' }, ruleHelp(rule))))),
			parts.field(_('Name (optional)'), el('input', {
				'type': 'text', 'class': 'cbi-input-text', 'name': 'name', 'maxlength': 64, 'value': section?.name ?? device.name ?? ''
			}))
		], _('Save & Apply'), 'cbi-button-apply important', values => this.writeRule(device, section, values));
	},

	writeRule(device, section, values) {
		const name = values.name.trim(), named = name && name != (section?.name ?? device.name ?? '') || section?.name && name;

		if ((values.rule || named) && !section) {
			const sid = uci.add(CONFIG, 'device');

			uci.set(CONFIG, sid, 'mac', device.mac);
			section = { '.name': sid };
		}

		if (values.rule || named) {
			uci.set(CONFIG, section['.name'], 'policy', values.rule || 'default');
			uci.set(CONFIG, section['.name'], 'name', name || null);
		}
		else if (section) {
			uci.remove(CONFIG, section['.name']);
		}

		return uci.save().then(() => { ui.changes.apply(true); });
	},

	card(device) {
		const dead = !L.hasViewPermission(), rule = ruleOf(device.mac);
		const held = device.state == 'quarantined' || device.state == 'blocked';
		const n = words.list(device.mitigations).length;
		const known = [ device.mac ].concat(words.list(device.addresses), device.interface ?? []);
		const dropped = device.dropped ?? {};

		const lines = [
			words.count(dropped.packets) ? _('Dropped: %s packets (%s)').format(words.number(dropped.packets), words.bytes(dropped.bytes)) : null,
			n ? el('a', { 'href': L.url('admin/services/dots-callhome/requests') },
				N_(n, '%d request is about it', '%d requests are about it').format(n)) : null,
			rule && rule.policy != 'default' ? _('Rule: %s').format(ruleWords(rule.policy ?? 'ask')) : null
		].filter(Boolean);

		return el('li', { 'class': 'card row' },
			el('div', {},
				el('div', { 'class': 'head' },
					el('h4', {}, stranger(words.name(device))),
					mark(MARKS[stateOf(device)] ?? '', words.deviceState(stateOf(device)))),
				el('div', { 'class': 'small faint' }, stranger(known.filter(Boolean).join(' · '))),
				lines.length ? el('div', { 'class': 'small' }, lines.map((line, i) => [ i ? ' · ' : '', line ])) : ''),
			el('div', { 'class': 'deeds' },
				held ? button('cbi-button-action', _('Release'), () => this.askRelease(device), dead) : '',
				device.state == 'quarantined' || device.state == 'exempt' ? ''
					: button(stateOf(device) == 'free' ? 'cbi-button-neutral' : 'cbi-button-negative', _('Quarantine'), () => this.askQuarantine(device), dead),
				button('cbi-button-neutral', _('Rule…'), () => this.askRule(device), dead)));
	},

	render() {
		const list = el('ul', { 'class': 'plain' }), more = el('p', { 'class': 'more' });
		const search = el('input', { 'type': 'search', 'class': 'cbi-input-text', 'aria-label': _('Search'), 'placeholder': _('Name, address …') });
		const field = el('p', { 'hidden': '' }, search), empty = el('p', { 'class': 'lead' });
		const body = el('div', { 'class': 'cbi-section', 'hidden': '' }, field, empty, list, more);
		const known = new Map();
		let limit = STEP, devices = [];

		/* A card is made anew only when something about it has changed: focus stays where it is. */
		const show = () => {
			const found = devices.filter(d => matches(d, search.value.trim().toLowerCase()));
			const cards = found.slice(0, limit).map(d => {
				const text = JSON.stringify([ d, ruleOf(d.mac) ]);

				if (known.get(d.mac)?.text != text)
					known.set(d.mac, { text: text, node: this.card(d) });

				return known.get(d.mac).node;
			});
			const rest = found.length - cards.length;

			if (cards.length != list.children.length || cards.some((card, i) => list.children[i] != card))
				list.replaceChildren(...cards);
			empty.textContent = found.length ? '' : devices.length ? _('No device matches.') : _('No device has been seen yet.');
			field.hidden = devices.length < MANY;
			more.replaceChildren();
			if (rest > 0)
				more.append(button('cbi-button-neutral', N_(rest, 'Show more (%d is not shown)', 'Show more (%d are not shown)').format(rest),
					() => { limit += STEP; show(); }));
		};

		search.addEventListener('input', show);

		this.page = parts.live(() => bus.devices(), reply => {
			devices = words.list(reply.devices).sort((a, b) =>
				ORDER.indexOf(stateOf(a)) - ORDER.indexOf(stateOf(b)) || words.name(a).localeCompare(words.name(b)));
			show();
		}, body);

		return this.page.refresh().then(() => E([], [
			el('h2', {}, _('Devices')),
			el('div', { 'class': 'cbi-map-descr' }, _('Every device seen in your home, and what holds for it.')),
			this.page.node
		]));
	},

	handleSaveApply: null,
	handleSave: null,
	handleReset: null
});
