// One connection to the bus: calls objects of others, publishes our own. Wire format: see src/ubus.

import net from 'node:net';

const HELLO = 0, STATUS = 1, DATA = 2, LOOKUP = 4, INVOKE = 5, ADD_OBJECT = 6, REMOVE_OBJECT = 7;
const ATTR = { status: 1, path: 2, id: 3, method: 4, signature: 6, data: 7, noReply: 10 };
const ARRAY = 1, TABLE = 2, STRING = 3, INT64 = 4, INT32 = 5, INT16 = 6, INT8 = 7, DOUBLE = 8;

const pad = n => (n + 3) & ~3;

function attribute(id, data, extended) {
	const out = Buffer.alloc(pad(4 + data.length));
	out.writeUInt32BE(((extended ? 0x80000000 : 0) | (id << 24) | (4 + data.length)) >>> 0);
	data.copy(out, 4);
	return out;
}

const u32 = n => { const b = Buffer.alloc(4); b.writeUInt32BE(n >>> 0); return b; };
const text = s => Buffer.from(s + '\0');

function named(name, type, data) {
	const bytes = Buffer.from(name), head = Buffer.alloc(pad(2 + bytes.length + 1));
	head.writeUInt16BE(bytes.length);
	bytes.copy(head, 2);
	return attribute(type, Buffer.concat([ head, data ]), true);
}

function pack(name, value) {
	switch (typeof value) {
	case 'boolean': return named(name, INT8, Buffer.from([ +value ]));
	case 'string': return named(name, STRING, text(value));
	case 'number': {
		if (Number.isInteger(value) && value === (value | 0))
			return named(name, INT32, u32(value));
		const b = Buffer.alloc(8);
		Number.isInteger(value) ? b.writeBigInt64BE(BigInt(value)) : b.writeDoubleBE(value);
		return named(name, Number.isInteger(value) ? INT64 : DOUBLE, b);
	}
	case 'object':
		if (value === null)
			return Buffer.alloc(0);
		return Array.isArray(value)
			? named(name, ARRAY, Buffer.concat(value.map(v => pack('', v))))
			: named(name, TABLE, table(value));
	default: return Buffer.alloc(0);
	}
}

const table = object => Buffer.concat(Object.entries(object).map(([ k, v ]) => pack(k, v)));

function* attributes(buffer) {
	for (let at = 0; at + 4 <= buffer.length;) {
		const head = buffer.readUInt32BE(at), length = head & 0xffffff;
		yield [ (head >>> 24) & 0x7f, buffer.subarray(at + 4, at + length) ];
		at += Math.max(4, pad(length));
	}
}

function unpack(type, data) {
	const value = data.subarray(pad(2 + data.readUInt16BE(0) + 1));

	switch (type) {
	case ARRAY: return [ ...attributes(value) ].map(([ t, d ]) => unpack(t, d));
	case TABLE: return untable(value);
	case STRING: return value.toString('utf8', 0, value.length - 1);
	case INT64: return Number(value.readBigInt64BE());
	case INT32: return value.readInt32BE();
	case INT16: return value.readInt16BE();
	case INT8: return value[0] != 0;
	case DOUBLE: return value.readDoubleBE();
	default: return null;
	}
}

const untable = buffer => Object.fromEntries([ ...attributes(buffer) ].map(([ type, data ]) =>
	[ data.toString('utf8', 2, 2 + data.readUInt16BE(0)), unpack(type, data) ]));

/** A status other than 0, as ubus numbers them. */
export class Refused extends Error {
	constructor(status) {
		super(`ubus status ${status}`);
		this.status = status;
	}
}

export class Bus {
	#socket; #input = Buffer.alloc(0); #sequence = 0; #waiting = new Map(); #objects = new Map();

	static connect(path) {
		const bus = new Bus();
		return new Promise((resolve, reject) => {
			bus.#socket = net.connect(path);
			bus.#socket.on('error', reject);
			bus.#socket.on('close', () => bus.#lost());
			bus.#socket.on('data', chunk => bus.#read(chunk, resolve));
		});
	}

	close() { this.#socket.destroy(); }

	#lost() {
		this.closed = true;
		for (const { reject } of this.#waiting.values())
			reject(new Refused(10));
		this.#waiting.clear();
	}

	#send(type, sequence, peer, attrs) {
		const head = Buffer.alloc(8);
		head[1] = type;
		head.writeUInt16BE(sequence, 2);
		head.writeUInt32BE(peer >>> 0, 4);
		if (!this.#socket.destroyed)
			this.#socket.write(Buffer.concat([ head, attribute(0, Buffer.concat(attrs)) ]));
	}

	#request(type, peer, attrs) {
		if (this.closed)
			return Promise.reject(new Refused(10));
		const sequence = this.#sequence = (this.#sequence + 1) & 0xffff;
		return new Promise((resolve, reject) => {
			this.#waiting.set(sequence, { resolve, reject, replies: [] });
			this.#send(type, sequence, peer, attrs);
		});
	}

	#read(chunk, connected) {
		this.#input = Buffer.concat([ this.#input, chunk ]);
		while (this.#input.length >= 12) {
			const length = 8 + pad(this.#input.readUInt32BE(8) & 0xffffff);
			if (this.#input.length < length)
				return;
			const message = this.#input.subarray(0, length);
			this.#input = this.#input.subarray(length);
			this.#handle(message, connected);
		}
	}

	#handle(message, connected) {
		const [ , type ] = message, sequence = message.readUInt16BE(2), peer = message.readUInt32BE(4);
		const attrs = new Map(attributes(message.subarray(12)));
		const waiting = this.#waiting.get(sequence);

		if (type == HELLO)
			connected(this);
		else if (type == INVOKE)
			this.#invoked(sequence, peer, attrs);
		else if (type == DATA)
			waiting?.replies.push(attrs);
		else if (type == STATUS && waiting) {
			const status = attrs.get(ATTR.status)?.readInt32BE() ?? 0;
			this.#waiting.delete(sequence);
			status ? waiting.reject(new Refused(status)) : waiting.resolve(waiting.replies);
		}
	}

	async #invoked(sequence, peer, attrs) {
		const id = attrs.get(ATTR.id), object = this.#objects.get(id.readUInt32BE());
		const method = attrs.get(ATTR.method)?.toString('utf8').replace(/\0$/, '');
		let status = 0;
		try {
			if (!object?.[method])
				throw new Refused(3);
			const reply = await object[method](untable(attrs.get(ATTR.data) ?? Buffer.alloc(0)));
			this.#send(DATA, sequence, peer, [ attribute(ATTR.id, id), attribute(ATTR.data, table(reply ?? {})) ]);
		}
		catch (error) {
			status = error.status ?? 9;
		}
		this.#send(STATUS, sequence, peer, [ attribute(ATTR.status, u32(status)), attribute(ATTR.id, id) ]);
	}

	/** The reply of an object of somebody else's; rejects with [`Refused`], 4 where there is no such object. */
	async call(path, method, args = {}) {
		const found = await this.#request(LOOKUP, 0, [ attribute(ATTR.path, text(path)) ]);
		if (!found.length)
			throw new Refused(4);
		const id = found[0].get(ATTR.id).readUInt32BE();
		const replies = await this.#request(INVOKE, id,
			[ attribute(ATTR.id, u32(id)), attribute(ATTR.method, text(method)), attribute(ATTR.data, table(args)) ]);
		return replies.length ? untable(replies[0].get(ATTR.data) ?? Buffer.alloc(0)) : {};
	}

	/** The paths of the objects that a pattern with a `*` at its end names; as uhttpd tells anybody. */
	async paths(pattern) {
		const found = await this.#request(LOOKUP, 0, [ attribute(ATTR.path, text(pattern)) ]).catch(() => []);
		return found.map(attrs => attrs.get(ATTR.path).toString('utf8').replace(/\0.*$/s, ''));
	}

	/** Publishes an object: functions by method name. Resolves to its number. */
	async publish(path, object) {
		const signature = Buffer.concat(Object.keys(object).map(name => named(name, TABLE, Buffer.alloc(0))));
		const replies = await this.#request(ADD_OBJECT, 0,
			[ attribute(ATTR.path, text(path)), attribute(ATTR.signature, signature) ]);
		const id = replies[0].get(ATTR.id).readUInt32BE();
		this.#objects.set(id, object);
		return id;
	}

	/** Takes an object off the bus. */
	withdraw(id) {
		this.#objects.delete(id);
		return this.#request(REMOVE_OBJECT, 0, [ attribute(ATTR.id, u32(id)) ]);
	}
}
