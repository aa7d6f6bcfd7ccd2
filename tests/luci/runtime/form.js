'use strict';
'require baseclass';
'require dom';
'require ui';
'require uci';

/* Checks of values, by the names LuCI documents. */
const IPV4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;
const between = (value, low, high) => /^-?\d+$/.test(value) && +value >= low && +value <= high;

function isIPv6(value) {
	try {
		return value.includes(':') && new URL('http://[%s]'.format(value)).hostname != '';
	}
	catch (e) {
		return false;
	}
}

const TYPES = {
	range: (value, low, high) => between(value, +low, +high),
	maxlength: (value, most) => value.length <= most,
	hostname: value => /^[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9])?)*\.?$/.test(value),
	port: value => between(value, 0, 65535),
	ipaddr: value => IPV4.test(value) || isIPv6(value),
	cidr(value) {
		const [ address, length ] = value.split('/');

		return IPV4.test(address) ? between(length, 0, 32) : isIPv6(address) && between(length, 0, 128);
	},
	macaddr: value => /^([0-9a-f]{1,2}:){5}[0-9a-f]{1,2}$/i.test(value)
};

/* `or(range(15,240),range(0,0))` */
function check(type, value) {
	const [ , name, inner ] = /^(\w+)(?:\((.*)\))?$/.exec(type);
	const args = inner === undefined ? [] : inner.split(/,(?![^(]*\))/);

	return name == 'or' ? args.some(a => check(a, value)) : TYPES[name](value, ...args);
}

class Widget {
	constructor(option, sid, value) {
		Object.assign(this, { option, sid });
		this.node = this.build(value);
		this.node.id = option.cbid(sid);
		this.node.addEventListener('change', () => {
			option.map.checkDepends();
			this.triggerValidation();
		});
		dom.bindClassInstance(this.node, this);
	}

	get id() { return 'widget.%s'.format(this.option.cbid(this.sid)); }
	dead() { return this.option.map.readonly ? '' : null; }

	build(value) {
		const node = E('div', {}, [ E('input', { 'id': this.id, 'type': 'text', 'class': 'cbi-input-text', 'value': value ?? '',
			'placeholder': this.option.placeholder, 'disabled': this.dead(), 'list': this.option.keys ? '%s.list'.format(this.id) : null }) ]);

		if (this.option.keys)
			node.append(E('datalist', { 'id': '%s.list'.format(this.id) }, this.option.keys.map(k => E('option', { 'value': k }, []))));
		return node;
	}

	getValue() { return this.node.querySelector('input').value; }
	setValue(value) { this.node.querySelector('input').value = value; }

	triggerValidation() {
		this.error = null;
		for (const value of [ this.getValue() ].flat().filter(Boolean)) {
			const verdict = this.option.datatype && !check(this.option.datatype, value) ? 'Expecting: %s'.format(this.option.datatype)
				: this.option.validate(this.sid, value);

			if (verdict !== true)
				this.error = verdict;
		}
		if (!this.error && this.option.rmempty === false && !this.getValue().length && !this.option.map.hidden(this.option, this.sid))
			this.error = 'Expecting: non-empty value';
		this.node.querySelector('input, select').classList.toggle('cbi-input-invalid', !!this.error);
		return !this.error;
	}
}

class Checkbox extends Widget {
	build(value) {
		return E('div', { 'class': 'cbi-checkbox' }, [ E('input', { 'id': this.id, 'type': 'checkbox', 'disabled': this.dead(), 'checked': value == '1' ? '' : null }) ]);
	}

	getValue() { return this.node.querySelector('input').checked ? '1' : '0'; }
}

class Select extends Widget {
	build(value) {
		return E('div', {}, [ E('select', { 'id': this.id, 'class': 'cbi-input-select', 'disabled': this.dead() },
			this.option.keys.map((k, i) => E('option', { 'value': k, 'selected': k == value ? '' : null }, [ this.option.labels[i] ]))) ]);
	}

	getValue() { return this.node.querySelector('select').value; }
	setValue(value) { this.node.querySelector('select').value = value; }
}

class List extends Widget {
	build(value) {
		const input = E('input', { 'id': this.id, 'type': 'text', 'class': 'cbi-input-text', 'disabled': this.dead(), 'keydown': event => {
			if (event.key == 'Enter' && input.value) {
				event.preventDefault();
				node.insertBefore(item(input.value), input);
				input.value = '';
			}
		} });
		const item = text => E('div', { 'class': 'item', 'click': event => event.currentTarget.remove() }, [ E('span', {}, [ text ]) ]);
		const node = E('div', { 'class': 'cbi-dynlist' }, [ [ value ?? [] ].flat().map(item), input ].flat());

		if (this.option.keys)
			node.append(E('datalist', { 'id': '%s.list'.format(this.id) }, this.option.keys.map(k => E('option', { 'value': k }, []))));
		return node;
	}

	getValue() { return [ ...this.node.querySelectorAll('.item > span') ].map(n => n.textContent); }
}

const Value = baseclass.extend({
	widget: Widget,
	rmempty: true,

	__init__(map, section, option, title, description) {
		Object.assign(this, { map, section, option, title, description, deps: [] });
	},

	value(key, label) {
		(this.keys ??= []).push(key);
		(this.labels ??= []).push(label ?? key);
	},

	depends(option, value) { this.deps.push([ option, value ]); },
	validate: () => true,
	cbid(sid) { return 'cbid.%s.%s.%s'.format(this.map.config, sid, this.option); },
	cfgvalue(sid) { return uci.get(this.map.config, sid, this.option); },
	getUIElement(sid) { return dom.findClassInstance(document.getElementById(this.cbid(sid))); },
	renderWidget(sid, index, value) { return new this.widget(this, sid, value ?? this.default).node; },

	render(sid) {
		return Promise.resolve(this.renderWidget(sid, 0, this.cfgvalue(sid))).then(node => E('div', {
			'class': 'cbi-value', 'id': 'cbi-%s-%s-%s'.format(this.map.config, sid, this.option), 'data-name': this.option, 'data-field': this.cbid(sid)
		}, [ E('label', { 'class': 'cbi-value-title', 'for': 'widget.%s'.format(this.cbid(sid)) }, [ this.title ]),
			E('div', { 'class': 'cbi-value-field' }, [ node, this.description ? E('div', { 'class': 'cbi-value-description' }, [ this.description ]) : '' ]) ]));
	},

	parse(sid) {
		const widget = this.getUIElement(sid), value = widget.getValue();

		if (this.map.hidden(this, sid))
			return uci.unset(this.map.config, sid, this.option);
		if (!widget.triggerValidation())
			throw new TypeError('%s: %s'.format(this.title, widget.error));
		/* What equals the default is left out, unless it must stand there. */
		if (!value.length || (this.rmempty && value == this.default))
			uci.unset(this.map.config, sid, this.option);
		else if (JSON.stringify(value) != JSON.stringify(this.cfgvalue(sid)))
			uci.set(this.map.config, sid, this.option, value);
	}
});

const Flag = Value.extend({ widget: Checkbox, default: '0' });
const ListValue = Value.extend({ widget: Select });
const DynamicList = Value.extend({ widget: List });

const TypedSection = baseclass.extend({
	__init__(map, type, title, description) {
		Object.assign(this, { map, type, title, description, options: [], tabs: [] });
	},

	tab(name, title) { this.tabs.push([ name, title ]); },
	taboption(tab, type, ...args) { return Object.assign(this.option(type, ...args), { tab }); },

	option(type, ...args) {
		const option = new type(this.map, this, ...args);

		this.options.push(option);
		return option;
	},

	cfgsections() { return uci.sections(this.map.config, this.type).map(s => s['.name']); },

	renderAdd() {
		const name = this.anonymous ? null : E('input', { 'type': 'text', 'class': 'cbi-section-create-name', 'disabled': this.map.readonly ? '' : null });

		return E('div', { 'class': 'cbi-section-create' }, [ name ?? '', E('button', { 'class': 'btn cbi-button cbi-button-add', 'disabled': this.map.readonly ? '' : null, 'click': () => {
			if (name && !name.value)
				return;
			this.map.parse(true);
			uci.add(this.map.config, this.type, name?.value);
			this.map.reset();
		} }, [ this.addbtntitle ?? 'Add' ]) ]);
	},

	renderSection(sid) {
		return Promise.all(this.options.map(o => o.render(sid))).then(nodes => {
			const panes = this.tabs.map(([ name, title ], i) => E('div', { 'class': 'pane', 'data-tab': name, 'data-tab-title': title, 'hidden': i ? '' : null },
				nodes.filter((n, j) => this.options[j].tab == name)));
			const menu = this.tabs.map(([ name, title ], i) => E('li', { 'class': i ? 'cbi-tab-disabled' : 'cbi-tab', 'data-tab': name },
				[ E('a', { 'href': '#', 'click': event => {
					event.preventDefault();
					panes.forEach(p => { p.hidden = p.dataset.tab != name; });
					menu.forEach(m => { m.className = m.dataset.tab == name ? 'cbi-tab' : 'cbi-tab-disabled'; });
				} }, [ title ]) ]));

			return E('div', { 'id': 'cbi-%s-%s'.format(this.map.config, sid), 'class': 'cbi-section-node', 'data-section-id': sid }, [
				this.addremove ? E('div', { 'class': 'cbi-section-remove right' }, [ E('button', { 'class': 'btn cbi-button', 'disabled': this.map.readonly ? '' : null, 'click': () => {
					uci.remove(this.map.config, sid);
					this.map.reset();
				} }, [ 'Delete' ]) ]) : '',
				this.addremove && !this.anonymous ? E('h3', {}, [ sid ]) : '',
				menu.length ? E('ul', { 'class': 'cbi-tabmenu' }, menu) : '', ...menu.length ? panes : nodes ]);
		});
	},

	render() {
		return Promise.all(this.cfgsections().map(sid => this.renderSection(sid))).then(nodes => E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ this.title ]), this.description ? E('div', { 'class': 'cbi-section-descr' }, [ this.description ]) : '',
			...nodes, this.addremove ? this.renderAdd() : '' ]));
	}
});

const NamedSection = TypedSection.extend({
	__init__(map, name, type, title, description) {
		Object.assign(this, { map, name, type, title, description, options: [], tabs: [] });
	},

	cfgsections() { return uci.get(this.map.config, this.name) ? [ this.name ] : []; }
});

const Map_ = baseclass.extend({
	__init__(config) {
		this.config = config;
		this.list = [];
		this.readonly = !L.hasViewPermission();
	},

	section(type, ...args) {
		const section = new type(this, ...args);

		this.list.push(section);
		return section;
	},

	hidden(option, sid) {
		return option.deps.length > 0 && !option.deps.some(([ name, value ]) =>
			option.section.options.find(o => o.option == name).getUIElement(sid)?.getValue() == value);
	},

	each(fn) { this.list.forEach(s => s.cfgsections().forEach(sid => s.options.forEach(o => fn(o, sid)))); },

	checkDepends() {
		this.each((option, sid) => {
			const node = document.getElementById('cbi-%s-%s-%s'.format(this.config, sid, option.option));

			if (node)
				node.hidden = this.hidden(option, sid);
		});
	},

	render() {
		return uci.load(this.config).then(() => Promise.all(this.list.map(s => s.render()))).then(nodes => {
			this.node ??= E('div', { 'class': 'cbi-map', 'id': 'cbi-%s'.format(this.config) });
			this.node.replaceChildren(...nodes);
			dom.bindClassInstance(this.node, this);
			setTimeout(() => this.checkDepends());
			return this.node;
		});
	},

	parse(lenient) {
		this.each((option, sid) => {
			try {
				option.parse(sid);
			}
			catch (e) {
				if (!lenient)
					throw e;
			}
		});
	},

	save() {
		try {
			this.parse();
		}
		catch (e) {
			ui.showModal('Save error', [ E('p', {}, [ e.message ]), E('div', { 'class': 'right' }, [ E('button', { 'class': 'btn', 'click': ui.hideModal }, [ 'Dismiss' ]) ]) ]);
			return Promise.reject(e);
		}
		return uci.save().then(() => this.render());
	},

	reset() { return this.render(); }
});

return baseclass.extend({ Map: Map_, NamedSection, TypedSection, Value, Flag, ListValue, DynamicList });
