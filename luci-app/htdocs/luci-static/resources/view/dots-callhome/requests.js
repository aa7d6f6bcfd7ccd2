'use strict';
'require view';
'require dom';
'require uci';
'require ui';
'require preload.dots-callhome as indicator';
'require dots-callhome.bus as bus';
'require dots-callhome.words as words';
'require dots-callhome.parts as parts';
/* global indicator, bus, words, parts */

/* Cards shown of each list at first, and with each press of "show more". */
const STEP = 20;

/* Entries of the history that are asked for. */
const HISTORY = 50;

const { el, stranger, mark, facts, button } = parts;

/* Nobody who may only look gets a living button. */
const readonly = () => !L.hasViewPermission();

function candidates(m) {
	return words.list(m.devices);
}

/* Once it is decided, only the devices chosen matter. */
function acted(m) {
	return candidates(m).filter(d => d.chosen !== false);
}

function isExempt(device) {
	return uci.sections('dots-callhome', 'device').some(s => s.policy == 'exempt' && String(s.mac).toLowerCase() == device.mac);
}

function evidence(device) {
	const flows = words.list(device.evidence);

	return el('ul', { 'class': 'flows small' }, flows.map(e => el('li', {},
		el('code', {}, stranger(e.flow)), el('br'),
		_('%s packets, %s; last seen to send %s').format(words.number(e.packets), words.bytes(e.bytes), words.ago(words.count(e.seen))))));
}

function identity(device) {
	const known = [ device.mac ].concat(words.list(device.addresses), device.interface ?? []);

	return el('p', { 'class': 'small faint' }, stranger(known.filter(Boolean).join(' · ')));
}

/* One device that may be meant: what it does, how sure that is, and why. `update` takes fresher figures. */
function suspect(m, device) {
	const lead = el('p', { 'class': 'lead' });
	const flows = el('div', {}), count = el('summary', {}), folder = el('details', { 'hidden': '' }, count, flows);

	/* A list that would grow too large comes without evidence: what is known already stays. */
	const update = (m, device) => {
		const n = words.list(device.evidence).length;

		if (!n && !folder.hidden)
			return;
		lead.textContent = words.doing(m, device);
		count.textContent = N_(n, 'Evidence: %d connection', 'Evidence: %d connections').format(n);
		folder.hidden = !n;
		flows.replaceChildren(evidence(device));
	};

	update(m, device);

	return {
		update: update,
		nodes: [
			lead,
			el('p', { 'class': 'small' },
				el('strong', {}, words.confidence(device.confidence)), ' – ', words.why(device.confidence)),
			isExempt(device) ? el('p', { 'class': 'small' }, _('A standing rule says: never touch this device.')) : '',
			folder
		]
	};
}

/* Several devices that may be meant, to choose among. */
function choice(m, device, picked, changed) {
	const part = suspect(m, device);
	const id = 'dots-pick-' + m.id + '-' + device.mac;
	const box = el('input', { 'type': 'checkbox', 'id': id, 'value': device.mac,
		'disabled': readonly() || isExempt(device) ? '' : null });

	box.checked = picked.has(device.mac);
	box.addEventListener('change', () => {
		if (box.checked)
			picked.add(device.mac);
		else
			picked.delete(device.mac);
		changed();
	});

	/* The whole row is the target, but for what is a target itself. */
	const toggle = event => {
		if (!box.disabled && !event.target.closest('details, label, input'))
			box.click();
	};

	return {
		update: part.update,
		node: el('div', { 'class': 'choice', 'click': toggle }, box, el('div', {},
			el('label', { 'for': id }, el('strong', {}, stranger(words.name(device)))), identity(device), part.nodes))
	};
}

/* Names and URIs say what the provider wants said: nothing looks them up, and nothing is blocked because of them. */
function claims(target) {
	return [].concat(words.list(target?.fqdns), words.list(target?.uris));
}

/* What somebody ought to know before a block of a wide target. */
function caution(m) {
	const text = words.warning(m.target);

	return text ? parts.notice('warning', el('p', {}, stranger(text))) : '';
}

/* All that the provider named, for those who want to look closer. */
function named(m) {
	const all = items => stranger(words.list(items).join(', ') || '–');
	const t = m.target ?? {}, s = m.source ?? {};

	return el('details', {}, el('summary', {}, _('What the provider named')), facts(
		[ _('Target'), all(t.prefixes) ],
		claims(t).length ? [ _('Names (the provider’s word, not checked)'), all(claims(t)) ] : null,
		[ _('Target ports'), all(t.ports) ],
		[ _('Protocols'), all(words.list(t.protocols).map(words.protocol)) ],
		[ _('Source as seen outside'), all(s.prefixes) ],
		[ _('Source ports'), all(s.ports) ],
		words.list(s.icmp_types).length ? [ _('ICMP types'), all(s.icmp_types) ] : null,
		[ _('Number', 'of a request'), stranger(_('%s of %s', 'request number, client').format(m.mid, m.cuid)) ]));
}

/* What the router has noticed besides, in its own words. */
function remark(m) {
	return m.detail ? parts.notice('warning', el('p', {}, stranger(m.detail))) : '';
}

/* Where the provider helps. */
function help(m) {
	const { url, phone } = words.help(m.peer);

	return url || phone ? el('p', { 'class': 'small' }, _('Help from %s:').format(words.provider(m.peer)), ' ',
		url ? el('a', { 'href': url, 'target': '_blank', 'rel': 'noopener noreferrer' }, stranger(url)) : '', url && phone ? ' · ' : '',
		phone ? el('a', { 'href': 'tel:' + phone.replaceAll(' ', '') }, stranger(phone)) : '') : '';
}

/* What has to be done to the device itself; what is done is kept in this browser. */
function cure(device) {
	const key = 'dots-callhome-' + device.mac, done = new Set((window.localStorage.getItem(key) ?? '').split(','));
	const search = 'https://duckduckgo.com/?q=' + encodeURIComponent(words.name(device) + ' firmware update');
	const steps = [ [ 'unplug', _('Unplug it for a minute: what only sits in memory is gone then.') ],
		[ 'reset', _('Reset it to factory settings.') ],
		[ 'password', _('Give it a new password of its own.') ],
		[ 'update', [ _('Install the maker’s update.'), ' ', el('a', { 'href': search, 'target': '_blank', 'rel': 'noopener noreferrer' }, _('Search for it')) ] ],
		[ 'replace', _('No update for years? Replace it.') ] ];

	return el('details', {}, el('summary', {}, stranger(words.name(device)), ' – ', _('probably infected: how to clean it')),
		steps.map(([ step, text ]) => {
			const box = el('input', { 'type': 'checkbox' });

			box.checked = done.has(step);
			box.addEventListener('change', () => {
				done[box.checked ? 'add' : 'delete'](step);
				window.localStorage.setItem(key, [ ...done ].filter(Boolean).join(','));
			});

			return el('label', { 'class': 'pick' }, box, el('span', {}, text));
		}),
		el('p', { 'class': 'small' }, _('A clean device stays quiet for a day. Then release it, and see whether it goes on.')));
}

/* What is to be seen first. */
function headline(kind, ...text) {
	return el('p', { 'class': 'lead headline', 'tabindex': -1 }, mark(kind, ''), text);
}

/* Who asks, and until when. */
function asking(m, target) {
	const asked = el('bdi', {}), left = el('span', {});

	const update = m => {
		asked.textContent = _('%s, %s', 'provider, time').format(words.provider(m.peer), words.ago(m.requested));
		left.textContent = _('ends in %s unless the provider renews it', 'time span').format(words.span(m.remaining));
	};

	update(m);

	return {
		update: update,
		nodes: [ caution(m), facts(target ? [ _('Attacked'), stranger(words.what(m.target)) ] : null,
			claims(m.target).length ? [ _('Called, by the provider’s word'),
				[ stranger(words.some(claims(m.target))), ' ', el('span', { 'class': 'faint small' }, _('(not checked)')) ] ] : null,
			[ _('Asked by'), asked ], [ _('Request'), left ]), named(m) ]
	};
}

/* Whom a no is about. */
function refused(veto) {
	return words.list(veto.devices).length ? words.names(veto.devices) : _('Every device');
}

/* What a dialog is about, in its first lines. */
function subject(devices, sentence) {
	return [ el('p', { 'class': 'lead' }, el('strong', {}, stranger(words.names(devices)))), el('p', {}, sentence) ];
}

/* Asks the daemon once more right before acting: somebody else may have decided meanwhile. */
function stillOpen(m, states) {
	return bus.get(m.id).then(fresh => {
		if (states.includes(fresh.state))
			return;

		const error = new Error('decided');
		error.kind = 'state';
		error.words = words.outcome(fresh);
		throw error;
	});
}

/* A refusal says what the other administrator has decided. */
function explain(m, error) {
	if (error.kind != 'state' || error.words)
		throw error;

	return bus.get(m.id).then(fresh => {
		error.words = words.problem(error) + ' ' + words.outcome(fresh);
		throw error;
	}, () => { throw error; });
}

return view.extend({
	load() {
		return Promise.all([ L.resolveDefault(uci.load('dots-callhome')), L.resolveDefault(uci.load('dots-callhome-notify')), bus.readClock() ]);
	},

	decide(m, states, call) {
		return stillOpen(m, states)
			.then(call)
			.catch(error => explain(m, error))
			.finally(() => this.page.refresh().finally(() => indicator.look()));
	},

	/* What has ended is not to be asked for again: the daemon refuses what is none any more. */
	approve(m, action, macs, values) {
		const call = () => bus.approve(m.id, action, macs, values.lifetime, values.until);

		if (m.state == 'expired')
			return call().finally(() => this.page.refresh());

		return this.decide(m, m.state == 'pending' ? [ 'pending' ] : [ 'active', 'stopped', 'terminating' ], call);
	},

	/* For how long a block may be chosen: as long as somebody asks only where somebody does. */
	blockTimes(m) {
		return parts.lifetime(...(m.asked === false || m.state == 'terminating' ? []
			: [ [ '', _('While the provider asks (now %s)', 'time span').format(words.span(m.remaining)) ] ]), [ 'ended', _('Until I end it') ]);
	},

	askBlock(m, devices) {
		parts.confirm(_('Block this traffic?'), [
			subject(devices, _('May no longer send to %s.').format(words.what(m.target))),
			caution(m),
			parts.afterwards(
				words.warning(m.target) ? null : _('Everything else goes on working, on this device and on all others.'),
				_('Whatever it does with this address stops working, the harmless too.'),
				_('The provider is told that the attack is being stopped here.'),
				_('You can end the block here at any time.')),
			this.blockTimes(m)
		], _('Block this traffic'), 'cbi-button-action important',
		values => this.approve(m, 'block', devices.map(d => d.mac), parts.chosen(values)));
	},

	askQuarantine(m, devices) {
		parts.confirm(_('Quarantine the device?'), [
			subject(devices, _('Will be cut off.')),
			parts.afterwards(
				_('It reaches neither the Internet nor other devices in your home.'),
				_('It still gets an address and name service, and reaches the web page of this router.'),
				_('Neighbours on the same switch or radio may stay within its reach where the hardware forwards by itself.'),
				_('It stays cut off as long as you choose, whatever becomes of the provider’s request.')),
			parts.lifetime([ '', _('Until I release it') ])
		], _('Quarantine device'), 'cbi-button-negative important',
		values => this.approve(m, 'quarantine', devices.map(d => d.mac), parts.chosen(values)));
	},

	askReject(m) {
		parts.confirm(_('Is this traffic legitimate?'), [
			subject(candidates(m), _('May go on sending to %s.').format(words.what(m.target))),
			parts.afterwards(
				_('Nothing is blocked.'),
				_('The provider is told that this traffic is wanted, and may then protect the target in its own way, for example by limiting your line.'),
				_('This can’t be taken back for this request; the provider may ask again.'),
				_('For a day at least you are then asked, whatever the settings say.')),
			parts.comment()
		], _('This is legitimate'), 'cbi-button-action important',
		values => this.decide(m, [ 'pending', 'searching' ], () => bus.reject(m.id, parts.chosen(values).comment)));
	},

	askKeep(m) {
		parts.confirm(_('Keep this?'), [
			subject(acted(m), m.action == 'quarantine' ? _('Stays cut off.') : _('Still may not send to %s.').format(words.what(m.target))),
			parts.lifetime([ 'ended', m.action == 'quarantine' ? _('Until I release it') : _('Until I end it') ])
		], _('Keep it'), 'cbi-button-action important',
		values => this.approve(m, m.action, acted(m).map(d => d.mac), parts.chosen(values)));
	},

	askLetGo(m) {
		parts.confirm(_('Let it go?'), [
			subject(acted(m), _('May go on sending to %s.').format(words.what(m.target))),
			parts.afterwards(_('Nothing is blocked.'), _('For a day at least you are then asked, whatever the settings say.')),
			parts.comment()
		], _('Let it go'), 'cbi-button-action important',
		values => bus.withdraw(m.id, parts.chosen(values).comment).finally(() => this.page.refresh().finally(() => indicator.look())));
	},

	askEnd(m) {
		const quarantined = m.action == 'quarantine';

		parts.confirm(quarantined ? _('Release the device?') : _('End this now?'), [
			subject(acted(m), quarantined ? _('Will no longer be cut off.')
				: _('May send to %s again.').format(words.what(m.target))),
			parts.afterwards(
				_('The traffic passes again at once, even if the attack goes on.'),
				_('The provider is told that you have ended it, and may ask again.'),
				_('For a day at least you are then asked, whatever the settings say.')),
			parts.comment()
		], quarantined ? _('Release') : _('End now'), 'cbi-button-negative important',
		values => this.decide(m, [ 'active', 'stopped', 'terminating' ],
			() => bus.withdraw(m.id, parts.chosen(values).comment)));
	},

	askLift(veto) {
		parts.confirm(_('Take back this no?'), [
			el('p', { 'class': 'lead' }, el('strong', {}, stranger(refused(veto)))),
			parts.afterwards(
				_('Your settings decide again: where they say so, the router acts without asking, also on requests that wait now.'),
				_('Nothing else changes; a request that you have answered stays answered.'))
		], _('Take back'), 'cbi-button-action important', () => bus.lift(veto.id).finally(() => this.page.refresh()));
	},

	vetoCard(veto) {
		const left = el('span', {});
		const update = veto => { left.textContent = words.span(veto.remaining); };

		update(veto);

		return {
			node: el('li', { 'class': 'card row' },
				el('div', {},
					el('div', { 'class': 'head' }, el('h4', {}, stranger(refused(veto))), mark('', words.cause(veto))),
					facts([ _('Target'), stranger(words.where({ prefixes: veto.targets })) ],
						[ _('Asked by'), stranger(words.provider(veto.peer)) ],
						[ _('Decided by'), el('span', {}, stranger(words.who(veto.by)), ', ', words.date(veto.at),
							veto.comment ? [ ' – ', stranger(veto.comment) ] : '') ],
						[ _('Time left'), left ])),
				el('div', { 'class': 'deeds' },
					button('cbi-button-neutral', _('Take back'), () => this.askLift(veto), readonly()))),
			update: update
		};
	},

	pendingCard(m) {
		const devices = candidates(m), single = devices.length == 1;
		const picked = new Set(devices.filter(d => !isExempt(d) && (single || d.confidence != 'possible')).map(d => d.mac));
		const some = () => devices.filter(d => picked.has(d.mac));
		const dead = readonly();
		const head = asking(m, !single);
		const block = button('cbi-button-action important', _('Block this traffic'),
			() => this.askBlock(m, some()), dead);
		const quarantine = button('cbi-button-negative', _('Quarantine device'),
			() => this.askQuarantine(m, some()), dead);
		const follow = () => { block.disabled = quarantine.disabled = dead || !picked.size; };
		const shown = single ? [ suspect(m, devices[0]) ] : devices.map(d => choice(m, d, picked, follow));
		const observed = this.consent == 'observe';

		const update = fresh => {
			head.update(fresh);
			candidates(fresh).forEach((d, i) => shown[i]?.update(fresh, d));
		};

		follow();
		if (!devices.some(d => words.list(d.evidence).length))
			bus.get(m.id).then(update).catch(() => {});

		return {
			node: el('li', { 'class': 'card wait' },
				el('div', { 'class': 'head' },
					el('h4', {}, single
						? stranger(words.name(devices[0]))
						: N_(devices.length, '%d device may be meant', '%d devices may be meant').format(devices.length)),
					mark('wait', words.state(m.state))),
				single ? [ identity(devices[0]), shown[0].nodes ]
					: [ el('p', {}, _('Choose those that are to be acted upon:')), shown.map(part => part.node) ],
				remark(m),
				head.nodes,
				help(m),
				observed ? el('p', { 'class': 'small' }, _('This router only observes: nothing can be blocked.'), ' ',
					parts.settingsLink(_('Change this in the settings'))) : '',
				el('div', { 'class': 'deeds' }, observed ? '' : [ block, quarantine ],
					button('cbi-button-neutral', _('This is legitimate'), () => this.askReject(m), dead))),
			update: update
		};
	},

	searchingCard(m) {
		const head = asking(m, false);

		return {
			node: el('li', { 'class': 'card' },
				el('div', { 'class': 'head' },
					el('h4', {}, stranger(words.what(m.target))), mark('', words.state(m.state))),
				el('p', {}, _('No device in your home matches what the provider saw yet. The router keeps looking while the request lasts.')),
				remark(m),
				head.nodes,
				el('div', { 'class': 'deeds' },
					button('cbi-button-neutral', _('This is legitimate'), () => this.askReject(m), readonly()))),
			update: head.update
		};
	},

	/* Over, but the device was still sending when it ended. */
	endedCard(m) {
		const devices = acted(m), dead = readonly();

		return {
			node: el('li', { 'class': 'card wait' },
				el('div', { 'class': 'head' }, el('h4', {}, stranger(words.names(devices))), mark('wait', _('No longer blocked'))),
				devices.length == 1 ? identity(devices[0]) : '',
				el('p', { 'class': 'lead' }, _('%s no longer asks, so the block has ended. The device was still trying then: %s packets to %s had been stopped.').format(
					words.provider(m.peer), words.number(m.dropped?.packets), words.what(m.target))),
				named(m),
				el('div', { 'class': 'deeds' },
					button('cbi-button-action important', _('Block this traffic'), () => this.askBlock(m, devices), dead),
					button('cbi-button-negative', _('Quarantine device'), () => this.askQuarantine(m, devices), dead),
					button('cbi-button-neutral', _('Let it go'), () => this.askLetGo(m), dead))),
			update() {}
		};
	},

	/* Until when it goes on. */
	ending(m) {
		if (m.until == 'ended')
			return m.action == 'quarantine' ? _('Until you release it') : _('Until you end it');
		if (m.until == 'time')
			return _('%s, whatever the provider does', 'time span').format(words.span(m.left));

		return m.state == 'terminating'
			? _('%s, then it ends: the provider no longer asks for it', 'time span').format(words.span(m.remaining))
			: _('%s, unless the provider renews it', 'time span').format(words.span(m.remaining));
	},

	/* What is to be known of a device that goes on though nobody asks any more. */
	orphaned(m) {
		const rate = m.dropped ?? {}, by = words.provider(m.peer);

		if (m.asked !== false && m.state != 'terminating')
			return '';

		return words.count(rate.pps)
			? _('%s no longer asks. The device is still trying: %s (%s packets a second).').format(by, words.bits(rate.bps), words.about(rate.pps))
			: _('%s no longer asks. Nothing has been tried lately.').format(by);
	},

	/* Verified, with or without something to know, not yet, or leaking. */
	proof(m) {
		if (m.verified && m.detail)
			return mark('wait', _('Verified, but read below'));
		if (m.verified)
			return mark('good', _('Verified: nothing gets through'));
		if (m.detail)
			return mark('bad', _('Not effective'));

		return mark('wait', _('Taking effect…'));
	},

	/* What is wrong with a block, and what may help. */
	remedy(m, quarantined) {
		return parts.notice('warning',
			el('p', {}, el('strong', {}, _('Traffic still gets out.')), ' ', stranger(m.detail)),
			el('p', {}, quarantined ? '' : [ _('Quarantine the device: that stops everything it sends through the router.'), ' ' ],
				_('Restart the device: what was under way ends then.'), ' ',
				el('a', { 'href': L.url('admin/network/firewall') }, _('Where the hardware forwards by itself, switch hardware offloading off.'))));
	},

	forceCard(m) {
		const devices = acted(m), dead = readonly();
		const chart = parts.chart();
		const dropped = el('span', {}), left = el('span', {}), orphan = el('p', { 'class': 'lead' }), quiet = el('p', {});
		const quarantined = m.action == 'quarantine';

		const update = m => {
			const d = m.dropped ?? {};

			dropped.textContent = _('%s packets (%s); now %s (%s packets a second)').format(
				words.number(d.packets), words.bytes(d.bytes), words.bits(d.bps), words.about(d.pps));
			left.textContent = this.ending(m);
			orphan.textContent = this.orphaned(m);
			orphan.hidden = !orphan.textContent;
			quiet.textContent = m.state == 'stopped' && d.last ? _('Last attempt %s.').format(words.ago(d.last)) : '';
			quiet.hidden = !quiet.textContent;
			chart.add(d.pps);
		};

		update(m);

		return {
			node: el('li', { 'class': 'card' },
				el('div', { 'class': 'head' }, el('h4', {}, stranger(words.names(devices))), this.proof(m)),
				devices.length == 1 ? identity(devices[0]) : '',
				el('p', { 'class': 'lead' }, quarantined
					? _('Cut off from the Internet and from other devices.')
					: _('May not send to %s.').format(words.what(m.target))),
				orphan, quiet,
				m.detail && !m.verified ? this.remedy(m, quarantined) : remark(m),
				facts(m.state == 'active' ? null : [ _('State'), words.state(m.state) ],
					[ _('Dropped'), dropped ],
					[ _('Time left'), left ],
					[ _('Asked by'), stranger(words.provider(m.peer)) ],
					m.decision ? [ _('Decided by'), el('span', {}, stranger(words.who(m.decision.by)), ', ', words.date(m.decision.at),
						m.decision.comment ? [ ' – ', stranger(m.decision.comment) ] : '') ] : null),
				devices.map(cure),
				help(m),
				chart.node,
				named(m),
				el('div', { 'class': 'deeds' },
					m.state == 'terminating' && !m.until ? button('cbi-button-action important', _('Keep it'), () => this.askKeep(m), dead) : '',
					quarantined || this.consent == 'observe' ? ''
						: button('cbi-button-negative', _('Quarantine device'), () => this.askQuarantine(m, devices), dead),
					button('cbi-button-neutral', quarantined ? _('Release') : _('End now'), () => this.askEnd(m), dead))),
			update: update
		};
	},

	/* A list whose cards stay as they are (unfolded, focused, half chosen) unless what they are about changes. */
	cards(make, signature) {
		const node = el('ul', { 'class': 'plain' }), more = el('p', { 'class': 'more' });
		const known = new Map();
		let limit = STEP, items = [];

		const show = () => {
			const visible = items.slice(0, limit), kept = new Set(visible.map(m => m.id));

			for (const [ id, card ] of known)
				if (!kept.has(id)) {
					card.node.remove();
					known.delete(id);
				}

			visible.forEach((m, i) => {
				const mine = JSON.stringify(signature(m));
				let card = known.get(m.id);

				if (card?.signature != mine) {
					const fresh = make(m);
					fresh.signature = mine;
					card?.node.replaceWith(fresh.node);
					known.set(m.id, card = fresh);
				}
				else {
					card.update(m);
				}

				if (node.children[i] != card.node)
					node.insertBefore(card.node, node.children[i] ?? null);
			});

			const rest = items.length - visible.length;

			more.replaceChildren();
			if (rest > 0)
				more.append(button('cbi-button-neutral', N_(rest, 'Show more (%d is not shown)', 'Show more (%d are not shown)').format(rest),
					() => { limit += STEP; show(); }));
		};

		return { nodes: [ node, more ], show(list) { items = list; show(); } };
	},

	section(title, cards) {
		const count = el('span', { 'class': 'faint small' });
		const node = el('div', { 'class': 'cbi-section', 'hidden': '' }, el('h3', {}, title, ' ', count), cards.nodes);

		return {
			node: node,
			show(list) {
				node.hidden = !list.length;
				count.textContent = words.number(list.length);
				cards.show(list);
			}
		};
	},

	render() {
		const shape = m => [ m.state, m.action, m.asked, m.until, m.verified, m.detail, m.target, m.peer, m.decision, this.consent,
			candidates(m).map(d => [ d.mac, d.name, d.addresses, d.confidence, d.chosen ]) ];
		const pending = this.section(_('Waiting for your decision'), this.cards(m => this.pendingCard(m), shape));
		const force = this.section(_('In force'), this.cards(m => this.forceCard(m), shape));
		const searching = this.section(_('Device not found yet'), this.cards(m => this.searchingCard(m), shape));
		const ended = this.section(_('Not blocked any more'), this.cards(m => this.endedCard(m), shape));
		const refusals = this.section(_('You have said no; here the router asks'), this.cards(v => this.vetoCard(v),
			v => [ v.devices, v.targets, v.cause, v.peer, v.by, v.at, v.comment ]));
		const worst = el('div', {}), calm = el('div', { 'class': 'cbi-section' });
		const sessions = el('div', {}), history = el('ol', { 'class': 'plain log' });
		const past = el('div', { 'class': 'cbi-section' }, el('h3', {}, _('What happened lately')), history);
		const incidents = el('ul', { 'class': 'plain log' }), save = el('a', { 'class': 'btn cbi-button cbi-button-neutral', 'download': 'dots-callhome.txt' }, _('Save as text'));
		const before = el('div', { 'class': 'cbi-section' }, el('h3', {}, _('Earlier attacks')), incidents, el('p', {}, save));
		const body = el('div', { 'hidden': '' }, worst, sessions, calm, pending.node, ended.node, force.node, searching.node, refusals.node, before, past);
		let waiting = null;

		const show = ([ status, mitigations, events, omitted, vetoes, over, earlier ]) => {
			const of = (...states) => mitigations.filter(m => states.includes(m.state)).sort((a, b) => b.requested - a.requested);
			const open = of('pending');

			this.consent = status.consent;
			pending.show(open);
			ended.show(over);
			force.show(of('active', 'stopped', 'terminating').sort((a, b) => words.leaking([ b ]).length - words.leaking([ a ]).length));
			searching.show(of('searching'));
			refusals.show(vetoes);
			const leaks = words.leaking(mitigations);

			worst.replaceChildren(...leaks.map(m => headline('bad', _('A block does not hold:'), ' ', stranger(words.names(acted(m))))));
			sessions.replaceChildren();
			if (status.not_read)
				sessions.append(parts.notice('error', el('p', {},
					_('Decisions made before the last start could not be read:'), ' ', stranger(status.not_read)),
					el('p', {}, _('What they block stays blocked until its time is over, at the latest until the router restarts, and is not listed here. Please quarantine again what shall stay quarantined.'))));
			if (status.not_kept)
				sessions.append(parts.notice('warning', el('p', {},
					_('What is decided now would not survive a reboot:'), ' ', stranger(status.not_kept))));
			sessions.append(...this.sessions(words.list(status.peers)));
			for (const fault of words.list(status.config_faults))
				sessions.append(parts.notice('warning', el('p', {},
					_('The configuration has a fault:'), ' ', stranger(fault))));
			if (omitted)
				sessions.append(parts.notice('warning', el('p', {},
					N_(omitted, '%d more request is not listed here.', '%d more requests are not listed here.').format(omitted))));
			calm.hidden = open.length + over.length + leaks.length > 0;
			dom.content(calm, this.summary(status).flat().filter(Boolean));
			before.hidden = !earlier.length;
			dom.content(incidents, earlier.map(i => el('li', { 'class': 'line' }, stranger(words.incident(i)))));
			save.href = 'data:text/plain;charset=utf-8,' + encodeURIComponent(earlier.map(i => words.incident(i) + '\n').join(''));
			past.hidden = !events.length;
			dom.content(history, events.map(e => this.happened(e, mitigations)));

			if (waiting !== null && open.length > waiting)
				parts.announce(N_(open.length, '%d request waits for your decision', '%d requests wait for your decision').format(open.length));
			waiting = open.length;
		};

		/* A daemon from before there were vetoes, or questions about what has ended, has none to tell of. */
		const load = () => Promise.all([ bus.status(), bus.list(), bus.history(HISTORY), L.resolveDefault(bus.vetoes(), {}), L.resolveDefault(bus.ended(), {}),
			L.resolveDefault(bus.incidents(), {}) ]).then(([ status, list, history, vetoes, ended, incidents ]) => [ status, words.list(list.mitigations), words.list(history.events),
				words.count(list.omitted), words.list(vetoes.vetoes), words.list(ended.mitigations), words.list(incidents.incidents) ]);

		this.page = parts.live(load, show, body);

		return this.page.refresh().then(() => E([], [
			el('h2', {}, _('DDoS Call Home')),
			el('div', { 'class': 'cbi-map-descr' }, _('Your provider reports attacks that come from your home. Here you see which device is meant, and decide.')),
			this.page.node,
			this.silence()
		]));
	},

	/* Where nobody is told anywhere else. Who may not read how people are told is not asked to change it. */
	silence() {
		const ways = uci.get('dots-callhome-notify', 'notify');

		return !ways || [ 'ntfy', 'email', 'telegram', 'url', 'mqtt' ].some(way => ways[way]) ? ''
			: el('p', { 'class': 'faint' }, _('You will see requests only here.'), ' ', parts.settingsLink(_('Tell me on my telephone')));
	},

	/* Where nothing waits and all holds: with whom the router is connected, or not. */
	summary(status) {
		const away = words.list(status.peers).filter(p => p.state != 'connected' && p.state != 'disabled');
		const there = words.list(status.peers).filter(p => p.state == 'connected');

		return [
			away.length ? headline('wait', _('Not connected to %s: new requests do not reach this router.').format(words.some(away.map(p => words.provider(p.name))))) : '',
			el('p', { 'class': 'lead' }, _('Nothing waits for you.')),
			there.map(p => headline('good', p.since ? _('Connected to %s since %s.').format(words.provider(p.name), words.date(p.since))
				: _('Connected to %s.').format(words.provider(p.name)))),
			el('p', { 'class': 'faint' }, _('When your provider reports an attack from your home, the request appears here.'))
		];
	},

	sessions(peers) {
		const lines = [];

		if (!peers.length)
			lines.push(parts.notice('warning', el('p', {}, _('No provider is set up yet.'), ' ', parts.settingsLink(_('Go to the settings')))));

		for (const peer of peers)
			if (peer.state != 'connected')
				lines.push(parts.notice(peer.state == 'connecting' ? '' : 'warning', el('p', {},
					el('strong', {}, stranger(words.provider(peer.name))), ': ', words.sessionState(peer.state), '. ', words.session(peer),
					peer.last_error ? [ ' ', stranger(peer.last_error) ] : '')));

		if (bus.skew() > 120 || bus.skew() < -120)
			lines.push(parts.notice('', el('p', {}, _('The clocks of the router and of this computer differ by %s.').format(words.span(Math.abs(bus.skew()))))));

		return lines;
	},

	happened(entry, mitigations) {
		const m = mitigations.find(m => m.id === entry.id);
		const device = entry.mac ? words.list(m?.devices).find(d => d.mac == entry.mac) ?? { mac: entry.mac, name: entry.name } : null;
		const about = [ device ? words.name(device) : m ? words.names(acted(m).length ? acted(m) : m.devices) : '', m ? words.what(m.target) : '', entry.peer ? words.provider(entry.peer) : '' ];

		return el('li', {},
			el('time', { 'class': 'faint small', 'title': words.date(entry.time) }, words.ago(entry.time)),
			el('div', {},
				el('strong', {}, stranger(words.event(entry))),
				entry.by ? [ ' – ', stranger(words.who(entry.by)) ] : '',
				el('div', { 'class': 'small faint' }, stranger(about.filter(Boolean).join(' · '))),
				entry.comment ? el('div', { 'class': 'small' }, stranger(entry.comment)) : ''));
	},

	handleSaveApply: null,
	handleSave: null,
	handleReset: null
});
