'use strict';
'require baseclass';
'require uci';
'require dots-callhome.bus as bus';
/* global bus */

/* Everything here turns the daemon's answers into plain words. The results are text, never markup. */

const PROTOCOLS = { 1: 'ICMP', 6: 'TCP', 17: 'UDP', 47: 'GRE', 50: 'ESP', 58: 'ICMPv6', 132: 'SCTP', 136: 'UDP-Lite' };

/* Entries of a list that are spelt out; the others are counted. */
const SPELT_OUT = 3;

function language() {
	const tag = document.documentElement.lang || 'en';

	try {
		return Intl.getCanonicalLocales(tag.replace('_', '-'))[0];
	}
	catch {
		return 'en';
	}
}

function list(value) {
	return Array.isArray(value) ? value : [];
}

function count(value) {
	return Number.isFinite(value) && value > 0 ? value : 0;
}

function number(value) {
	return count(value).toLocaleString(language(), { maximumFractionDigits: 0 });
}

/* Two significant digits: rates are never steadier than that. */
function about(value) {
	return count(value).toLocaleString(language(), { maximumSignificantDigits: 2 });
}

function bytes(value) {
	const units = [ 'B', 'kB', 'MB', 'GB', 'TB', 'PB' ];
	let left = count(value), unit = 0;

	while (left >= 1000 && unit < units.length - 1) {
		left /= 1000;
		unit++;
	}

	return left.toLocaleString(language(), { maximumSignificantDigits: unit ? 3 : 4 }) + '\u00a0' + units[unit];
}

/* What people know of their line: bits a second of bytes a second. */
function bits(value) {
	const rate = count(value) * 8, text = (n, digits) => n.toLocaleString(language(), { maximumSignificantDigits: digits });

	if (rate >= 1e9)
		return _('%s Gbit/s').format(text(rate / 1e9, 2));
	if (rate >= 1e5)
		return _('%s Mbit/s').format(text(rate / 1e6, 2));

	return _('%s kbit/s').format(text(rate / 1e3, 2));
}

/* The whole units a person would use for so many seconds. */
function scale(seconds) {
	const s = count(seconds);

	if (s < 90)
		return [ Math.round(s), 'second' ];
	if (s < 90 * 60)
		return [ Math.round(s / 60), 'minute' ];
	if (s < 36 * 3600)
		return [ Math.round(s / 3600), 'hour' ];

	return [ Math.round(s / 86400), 'day' ];
}

function span(seconds) {
	const [ n, unit ] = scale(seconds);

	switch (unit) {
	case 'second': return N_(n, '%d second', '%d seconds').format(n);
	case 'minute': return N_(n, '%d minute', '%d minutes').format(n);
	case 'hour': return N_(n, '%d hour', '%d hours').format(n);
	default: return N_(n, '%d day', '%d days').format(n);
	}
}

function ago(time) {
	const [ n, unit ] = scale(bus.now() - time);

	if (unit == 'second' && n < 5)
		return _('just now');

	switch (unit) {
	case 'second': return N_(n, '%d second ago', '%d seconds ago').format(n);
	case 'minute': return N_(n, '%d minute ago', '%d minutes ago').format(n);
	case 'hour': return N_(n, '%d hour ago', '%d hours ago').format(n);
	default: return N_(n, '%d day ago', '%d days ago').format(n);
	}
}

function date(time) {
	return new Date(time * 1000).toLocaleString(language(), { dateStyle: 'medium', timeStyle: 'short' });
}

function some(items) {
	const texts = list(items).map(String);

	if (texts.length <= SPELT_OUT)
		return texts.join(', ');

	const rest = texts.length - SPELT_OUT + 1;

	return N_(rest, '%s and %d more', '%s and %d more').format(texts.slice(0, SPELT_OUT - 1).join(', '), rest);
}

/* A prefix that is a single address is shown as one. */
function prefix(text) {
	const [ address, length ] = String(text).split('/');

	if (length == (address.includes(':') ? '128' : '32'))
		return address;

	return length == '0' ? _('every address') : String(text);
}

/* How many bits name the network: a /24 of IPv4 is as wide as a /48 of IPv6, the smallest that are routed on their own. */
function narrowness(prefix) {
	const [ address, length ] = String(prefix).split('/');

	return address.includes(':') ? Number(length ?? 128) : Number(length ?? 32) * 2;
}

/* The widest comes first: of a long list only the beginning is spelt out. Names are not among them: nobody has checked those. */
function where(target) {
	const places = list(target?.prefixes).slice().sort((a, b) => narrowness(a) - narrowness(b)).map(prefix);

	return places.length ? some(places) : _('every address');
}

/* IPv4 addresses and IPv6 networks of size /48 of a target. The daemon counts each once, and those it does not list too. */
function breadth(target) {
	const v6 = list(target?.prefixes).filter(p => String(p).includes(':')), v4 = list(target?.prefixes).filter(p => !v6.includes(p));
	const sum = (prefixes, bits) => prefixes.reduce((all, p) => all + 2 ** Math.max(0, bits - narrowness(p)), 0);

	return [ target?.v4_addresses ?? v4.reduce((all, p) => all + 2 ** (32 - narrowness(p) / 2), 0), target?.v6_networks ?? sum(v6, 48) ];
}

function percent(share) {
	return Math.min(1, share).toLocaleString(language(), { style: 'percent', maximumSignificantDigits: 2 });
}

/* From one part in a hundred on a target is told as a part of the Internet. */
const MUCH = 0.01;

/* All IPv4 addresses, and all IPv6 networks of size /48 that are given out (2000::/3). */
const ALL_V4 = 2 ** 32, ALL_V6 = 2 ** 45;

/* The daemon writes ranges with a hyphen. */
function how(target) {
	const protocols = list(target?.protocols).map(p => PROTOCOLS[p] ?? _('protocol %d').format(p)).join('/');
	const ports = list(target?.ports).map(p => String(p).replace('-', '–'));

	if (!ports.length)
		return protocols || _('all traffic');

	const plural = ports.length > 1 || ports[0].includes('–') ? 2 : 1;

	return protocols
		? N_(plural, '%s port %s', '%s ports %s').format(protocols, some(ports))
		: N_(plural, 'port %s', 'ports %s').format(some(ports));
}

/* Whether it is more than one victim's network, or more than a person reads. */
function isWide(target) {
	const [ v4, v6 ] = breadth(target);

	return target?.wide ?? (v4 > 256 || v6 > 1 || list(target?.prefixes).length > 8);
}

/* How much of the Internet a target is. */
function howMuch(target) {
	const [ v4, v6 ] = breadth(target);

	return [
		v4 >= ALL_V4 * MUCH ? _('about %s of all IPv4 addresses of the Internet').format(percent(v4 / ALL_V4))
			: v4 ? N_(v4, '%s IPv4 address', '%s IPv4 addresses').format(number(v4)) : '',
		v6 >= ALL_V6 * MUCH ? _('about %s of all IPv6 addresses of the Internet').format(percent(v6 / ALL_V6))
			: v6 ? N_(v6, '%s IPv6 network', '%s IPv6 networks').format(number(v6)) : ''
	].filter(Boolean).join(', ');
}

/* What a wide target means for who lives with the block; nothing for others. */
function warning(target) {
	const [ v4, v6 ] = breadth(target);

	if (!isWide(target))
		return '';

	return _('This is no single target but %s.').format(howMuch(target)) + ' ' + (v4 >= ALL_V4 * MUCH || v6 >= ALL_V6 * MUCH
		? _('Nearly everything that the device does on the Internet stops working.')
		: _('Whatever the device does there stops working, the harmless too.'));
}

/* `203.0.113.80, UDP port 53` */
function what(target) {
	return _('%s, %s', 'where, how').format(where(target), how(target));
}

/* What the evidence about one device adds up to. */
function total(device) {
	const sum = { packets: 0, bytes: 0, pps: 0, bps: 0, seen: 0 };

	for (const e of list(device?.evidence)) {
		sum.packets += count(e.packets);
		sum.bytes += count(e.bytes);
		sum.pps += count(e.pps);
		sum.bps += count(e.bps);
		sum.seen = Math.max(sum.seen, count(e.seen));
	}

	return sum;
}

/* Figures older than this are not of now. */
const FRESH = 30;

/* What goes on now in the present tense; else when it was, and how much. */
function doing(mitigation, device) {
	const sum = total(device), to = what(mitigation.target);
	/* At the present rate; a flow that has grown is older than that. */
	const lasts = sum.pps >= 1 ? sum.packets / sum.pps : 0;

	const now = sum.pps >= 1 && bus.now() - sum.seen < FRESH;

	if (now && lasts >= 10)
		return _('Sends about %s of your upload (%s packets a second) to %s, for about %s.').format(bits(sum.bps), about(sum.pps), to, span(lasts));
	if (now)
		return _('Sends about %s of your upload (%s packets a second) to %s.').format(bits(sum.bps), about(sum.pps), to);
	if (sum.pps >= 1)
		return _('When last looked, %s: about %s of your upload (%s packets a second) to %s.').format(ago(sum.seen), bits(sum.bps), about(sum.pps), to);
	if (sum.packets)
		return _('Stopped %s, after %s packets to %s.').format(ago(sum.seen), about(sum.packets), to);

	return _('Has had connections to %s.').format(to);
}

/* The provider's own name, where the configuration has it. */
function provider(section) {
	return uci.get('dots-callhome', section, 'display_name') || String(section ?? '');
}

/* Where the provider helps: nothing but an address of the web is a link. */
function help(section) {
	const url = String(uci.get('dots-callhome', section, 'help_url') ?? ''), phone = String(uci.get('dots-callhome', section, 'help_phone') ?? '');

	return { url: url.startsWith('https://') || url.startsWith('http://') ? url : '', phone: phone };
}

/* What has come of an incident. */
function closing(incident) {
	switch (incident.outcome) {
	case 'expired': return incident.decision ? _('ended by the provider') : _('nobody decided');
	case 'superseded': return _('replaced by a newer request');
	case 'rejected': return _('answered as legitimate');
	case 'withdrawn': return _('ended here');
	default: return String(incident.outcome ?? '');
	}
}

/* An incident in one line: when, who, whom, what was done, how much, how it ended. */
function incident(i) {
	/* Isolated: a name must not rearrange what stands beside it. */
	const names = '\u2068' + (some(list(i.devices).map(d => d.name || d.mac)) || _('Unknown device')) + '\u2069';
	const done = !i.decision ? '' : i.outcome == 'rejected' ? '' : i.action == 'quarantine' ? _('cut off by %s').format(who(i.decision.by)) : _('blocked by %s').format(who(i.decision.by));
	const amount = count(i.dropped?.packets) ? N_(i.dropped.packets, '%s packet stopped', '%s packets stopped').format(number(i.dropped.packets)) : '';
	const end = i.outcome == 'rejected' ? _('%s by %s', 'how it ended, user').format(closing(i), who(i.decision?.by)) : closing(i);

	return [ _('%s – %s sent to %s', 'date, device, target').format(date(i.requested), names, what(i.target)), done, amount,
		_('%s after %s', 'how it ended, time span').format(end, span(i.ended - i.requested)) ].filter(Boolean).join(' · ');
}

/* A session lost for so many seconds is worth a word everywhere. */
const LONG = 900;

/* The providers that can't be reached for long. */
function lost(status) {
	return list(status?.peers).filter(p => (p.state == 'waiting' || p.state == 'connecting') && p.since && bus.now() - p.since > LONG);
}

/* Blocks that are not in force as they should be, and that the daemon knows why. */
function leaking(mitigations) {
	return list(mitigations).filter(m => [ 'active', 'stopped', 'terminating' ].includes(m.state) && !m.verified && m.detail);
}

function who(by) {
	switch (by) {
	case 'policy': return _('the standing policy');
	case 'timeout': return _('the timeout, as nobody answered');
	default: return by ? String(by) : _('unknown');
	}
}

return baseclass.extend({
	list: list,
	count: count,
	number: number,
	about: about,
	bytes: bytes,
	span: span,
	ago: ago,
	date: date,
	some: some,
	what: what,
	where: where,
	warning: warning,
	who: who,
	total: total,
	doing: doing,
	bits: bits,
	provider: provider,
	help: help,
	incident: incident,
	lost: lost,
	leaking: leaking,
	protocol: p => PROTOCOLS[p] ?? String(p),

	/* The name of a device, or the best that is known instead. */
	name(device) {
		return device?.name || list(device?.addresses)[0] || device?.mac || _('Unknown device');
	},

	names(devices) {
		return some(list(devices).map(d => this.name(d)));
	},

	confidence(level) {
		switch (level) {
		case 'exact': return _('Certain');
		case 'likely': return _('Likely');
		default: return _('Possible');
		}
	},

	why(level) {
		switch (level) {
		case 'exact':
			return _('A connection of this device has exactly the address, port and target that the provider saw.');
		case 'likely':
			return _('Its traffic fits everything the provider named, but that is too little to rule out another device.');
		default:
			return _('Only a part of what the provider named fits this device. Look at the evidence before you decide.');
		}
	},

	state(state) {
		switch (state) {
		case 'pending': return _('Waiting for you');
		case 'searching': return _('Looking for the device');
		case 'active': return _('In force');
		case 'stopped': return _('In force, quiet: it may be clean, or switched off');
		case 'terminating': return _('Ending');
		case 'rejected': return _('Answered as legitimate');
		case 'withdrawn': return _('Ended here');
		case 'expired': return _('Over', 'state of a request');
		default: return String(state);
		}
	},

	deviceState(state) {
		switch (state) {
		case 'accused': return _('Accused: decide');
		case 'free': return _('Free', 'state of a device');
		case 'blocked': return _('Traffic blocked');
		case 'quarantined': return _('Quarantined');
		case 'exempt': return _('Never touched');
		default: return String(state);
		}
	},

	/* How somebody's decision reads afterwards. */
	outcome(mitigation) {
		const d = mitigation.decision;
		let said;

		switch (mitigation.state) {
		case 'active':
		case 'stopped':
		case 'terminating':
			said = mitigation.action == 'quarantine' ? _('the device is quarantined') : _('the traffic is blocked');
			break;
		case 'rejected': said = _('the traffic is legitimate'); break;
		case 'withdrawn': said = _('it was ended here'); break;
		default: return _('This request is over.');
		}

		if (!d?.by)
			return _('This request has been decided: %s.').format(said);

		return _('This request has been decided: %s. Decided by %s, %s.').format(said, who(d.by), ago(d.at));
	},

	/* What a no follows from. */
	cause(veto) {
		switch (veto.cause) {
		case 'rejected': return _('Answered as legitimate');
		case 'withdrawn': return _('Ended here');
		case 'released': return _('Device released');
		case 'spoofed': return _('Another device sent in its name');
		default: return String(veto.cause);
		}
	},

	event(entry) {
		switch (entry.event) {
		case 'requested': return _('Request came in');
		case 'pending': return _('Waits for a decision');
		case 'reminder': return _('Still waits for a decision');
		case 'approved': return _('Approved');
		case 'rejected': return _('Answered as legitimate');
		case 'withdrawn': return _('Ended here');
		case 'enforced': return _('Block in force');
		case 'failed': return _('Could not be put in force');
		case 'stopped': return _('Attack has stopped');
		case 'resumed': return _('Attack goes on');
		case 'terminating': return _('Provider no longer asks for it');
		case 'expired': return _('Over', 'state of a request');
		case 'kept': return _('Provider no longer asks; what you chose goes on');
		case 'superseded': return _('Replaced by a newer request');
		case 'quarantined': return _('Device quarantined');
		case 'released': return _('Device released');
		case 'lifted': return _('A no was taken back');
		default: return String(entry.event);
		}
	},

	sessionState(state) {
		switch (state) {
		case 'connected': return _('Connected');
		case 'connecting': return _('Connecting…');
		case 'waiting': return _('Not connected');
		case 'disabled': return _('Not in use');
		default: return String(state);
		}
	},

	/* When the session began, or when it will be tried again. */
	session(peer) {
		if (peer.state == 'connected' && peer.since)
			return _('Since %s.').format(date(peer.since));
		if (peer.state == 'waiting' && peer.retry_in != null)
			return _('Next attempt in %s.', 'time span').format(span(peer.retry_in));

		return '';
	},

	/* Why a call to the daemon came to nothing. */
	problem(error) {
		switch (error?.kind) {
		case 'argument': return _('The router refused the request as malformed.');
		case 'unknown': return _('The router no longer knows this entry.');
		case 'state': return _('This is not possible any more: the request has changed meanwhile.');
		case 'denied': return _('Your login may look at this page, but not decide.');
		case 'session': return _('Your login has expired. Log in again, then repeat this.');
		case 'gone': return _('The service is not running, so nothing was done.');
		case 'late': return _('The service did not answer in time. Look whether it has acted before you repeat this.');
		case 'away': return _('The router did not answer. Look whether it has acted before you repeat this.');
		default: return _('The router reported an unexpected error.');
		}
	}
});
