// An object that keeps the daemon's contract on the bus, for states the real daemon is hard to bring into.

import { Bus, Refused } from './ubus.mjs';

const now = () => Math.floor(Date.now() / 1000);

/** A device as `devices` and `list` show it. */
export const device = (n, more = {}) => ({ mac: `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`, name: `device-${n}`,
	addresses: [ `192.168.1.${n}` ], interface: 'br-lan', ...more });

/** A device as a suspect, with one flow as evidence. */
export const suspect = (n, confidence = 'exact', more = {}) => device(n, { confidence, evidence: [ {
	flow: `udp 192.168.1.${n}:4000 -> 203.0.113.80:53 as 198.51.100.7:40000`, packets: 756000, bytes: 75600000, pps: 4187, bps: 418700,
	seen: now() } ], ...more });

/** A request, pending unless told otherwise. */
export const mitigation = (id, more = {}) => ({ id, peer: 'isp', cuid: 'dz6pHjaADkaFTbjr0JGBpw', mid: 1000 + id, state: 'pending', requested: now() - 180,
	lifetime: 3600, remaining: 3420, action: 'block', target: { prefixes: [ '203.0.113.80/32' ], ports: [ '53' ], protocols: [ 17 ], fqdns: [], uris: [] },
	source: { prefixes: [ '198.51.100.7/32' ], ports: [ '40000' ], icmp_types: [] }, devices: [ suspect(17, 'exact', { name: 'Garage camera' }) ],
	dropped: { packets: 0, bytes: 0, pps: 0, bps: 0 }, verified: false, ...more });

/** The same, decided and in force. */
export const inForce = (id, more = {}) => mitigation(id, { state: 'active', verified: true, decision: { by: 'root', at: now() - 60 },
	dropped: { packets: 251220, bytes: 25122000, pps: 4187, bps: 418700 }, ...more });

/** A no that binds the policy. */
export const veto = (id, more = {}) => ({ id, peer: 'isp', devices: [ { mac: '02:00:00:00:00:11', name: 'Garage camera' } ],
	targets: [ '203.0.113.80/32' ], cause: 'rejected', by: 'root', at: now() - 60, comment: 'our own backup', remaining: 86340, ...more });

export class Daemon {
	mitigations = []; over = []; incidents = []; known = []; vetoes = []; events = []; consent = 'ask'; notKept = null; notRead = null; calls = [];
	peers = [ { name: 'isp', state: 'connected', transport: 'tls', address: '198.51.100.1:4647', since: now() - 7200, rtt_ms: 12 } ];

	constructor(path) { this.path = path; }

	async start() {
		this.bus = await Bus.connect(this.path);
		this.id = await this.bus.publish('dots-callhome', this.#methods());
		return this;
	}

	async stop() {
		this.bus?.close();
		this.bus = null;
	}

	async #who(args) {
		if (!args.ubus_rpc_session)
			return 'root';
		return (await this.bus.call('session', 'get', { ubus_rpc_session: args.ubus_rpc_session, keys: [ 'username' ] })).values.username;
	}

	#find(id) {
		const found = this.mitigations.find(m => m.id == id);
		if (!found)
			throw new Refused(4);
		return found;
	}

	async #decide(args, states, change) {
		const m = this.#find(args.id);
		const by = await this.#who(args);
		if (!states.includes(m.state))
			throw new Refused(8);
		m.decision ??= { by, at: now(), ...args.comment ? { comment: args.comment } : {} };
		change(m);
		this.events.unshift({ time: now(), event: { active: 'approved' }[m.state] ?? m.state, id: m.id, peer: m.peer, by, comment: args.comment });
		return m;
	}

	/* One of those that have ended, decided about. */
	#taken(id) {
		const found = this.over.find(m => m.id == id);
		this.over = this.over.filter(m => m.id != id);
		return found;
	}

	#methods() {
		const object = {
			status: () => ({ version: '0.1.0', uptime: 7200, consent: this.consent, peers: this.peers,
				...(this.notKept && { not_kept: this.notKept }), ...(this.notRead && { not_read: this.notRead }),
				pending: this.mitigations.filter(m => m.state == 'pending').length,
				active: this.mitigations.filter(m => m.state == 'active').length, ...(this.over.length && { ended: this.over.length }),
				...(this.mitigations.some(m => m.state == 'active' && m.detail && !m.verified) && { leaking: 1 }), devices: this.known.length }),
			list: () => this.listed ?? { mitigations: this.mitigations },
			get: args => this.#find(args.id),
			incidents: () => ({ incidents: this.incidents }),
			ended: () => ({ mitigations: this.over }),
			approve: args => this.#taken(args.id) ?? this.#decide(args, [ 'pending', 'active', 'stopped', 'terminating' ], m => {
				m.state = 'active';
				m.action = args.action ?? m.action;
				for (const d of m.devices)
					d.chosen = !args.devices || args.devices.includes(d.mac);
				m.verified = true;
			}),
			reject: args => this.#decide(args, [ 'pending', 'searching', 'active', 'stopped' ], m => { m.state = 'rejected'; }),
			withdraw: args => this.#taken(args.id) ?? this.#decide(args, [ 'pending', 'searching', 'active', 'stopped', 'terminating' ], m => { m.state = 'withdrawn'; }),
			devices: () => ({ devices: this.known }),
			quarantine: args => this.#device(args, 'quarantined'),
			release: args => this.#device(args, 'free'),
			vetoes: () => ({ vetoes: this.vetoes }),
			lift: args => {
				if (!this.vetoes.some(v => v.id == args.id))
					throw new Refused(4);
				this.vetoes = this.vetoes.filter(v => v.id != args.id);
				return { vetoes: this.vetoes };
			},
			history: args => ({ events: this.events.slice(0, args.limit ?? 100) })
		};

		return Object.fromEntries(Object.entries(object).map(([ name, method ]) => [ name, args => {
			this.calls.push([ name, args ]);
			if (this.delay)
				return new Promise(done => setTimeout(done, this.delay)).then(() => method(args));
			return method(args);
		} ]));
	}

	#device(args, state) {
		const found = this.known.find(d => d.mac == args.mac);
		if (!found)
			throw new Refused(4);
		found.state = state;
		return found;
	}
}
