// Who may do what.

import assert from 'node:assert/strict';

import { device, inForce, mitigation } from './daemon.mjs';
import { card, eventually, press, says } from './world.mjs';

/* A call as the page would make it, but with whatever the caller likes. */
const call = (page, method, args) => page.evaluate(async ([ method, args ]) => {
	const body = { jsonrpc: '2.0', id: 1, method: 'call', params: [ L.env.sessionid, 'dots-callhome', method, args ] };
	const reply = await (await fetch(L.env.ubuspath, { method: 'POST', body: JSON.stringify(body) })).json();

	return reply.error?.code ?? reply.result[0];
}, [ method, args ]);

export async function who_may_only_read_sees_everything_and_can_do_nothing(world) {
	world.daemon.mitigations = [ mitigation(1), inForce(2) ];
	world.daemon.known = [ device(17, { name: 'Garage camera', state: 'blocked' }) ];
	const page = await world.open('requests', { user: 'guest' });

	await says(page, '(4,200 packets a second)', 'Verified');
	for (const name of [ 'Block this traffic', 'Quarantine device', 'This is legitimate', 'End now' ])
		for (const button of await page.getByRole('button', { name, exact: true }).all())
			assert.ok(await button.isDisabled(), `${name} is offered`);
	for (const [ method, args ] of [ [ 'approve', { id: 1 } ], [ 'reject', { id: 1 } ], [ 'withdraw', { id: 2 } ],
		[ 'quarantine', { mac: '02:00:00:00:00:11' } ], [ 'release', { mac: '02:00:00:00:00:11' } ], [ 'lift', { id: 1 } ] ])
		assert.equal(await call(page, method, args), -32002, `the server lets ${method} pass`);
	assert.equal(world.daemon.mitigations[0].state, 'pending');
	await page.goto(`${world.url}admin/services/dots-callhome/devices`);
	await eventually(async () => assert.ok(await card(page, 'Garage camera').getByRole('button', { name: 'Release' }).isDisabled()));
	await page.goto(`${world.url}admin/services/dots-callhome/settings`);
	await eventually(async () => assert.ok(await page.locator('.cbi-button-save').isDisabled()));
	for (const button of await page.getByRole('button', { name: 'Upload a file…', includeHidden: true }).all())
		assert.ok(await button.isDisabled());
}

export async function who_may_only_read_learns_no_secret_of_the_network(world) {
	const read = async user => {
		const page = await world.open('requests', { user });

		return page.evaluate(async () => {
			const body = { jsonrpc: '2.0', id: 1, method: 'call', params: [ L.env.sessionid, 'uci', 'get', { config: 'network' } ] };
			return await (await fetch(L.env.ubuspath, { method: 'POST', body: JSON.stringify(body) })).json();
		});
	};
	for (const user of [ 'guest', 'anna' ]) {
		const reply = await read(user);
		assert.doesNotMatch(JSON.stringify(reply), /secret/, user);
		assert.deepEqual(reply.result, [ 6 ], user);
	}
}

/* They would let anybody send in the router's name. */
export async function who_may_only_read_learns_not_how_people_are_told(world) {
	world.tell('config notify \'notify\'\n\toption telegram \'123:secret/5\'\n');
	for (const [ user, outcome ] of [ [ 'guest', 6 ], [ 'stranger', 6 ], [ 'anna', 0 ] ]) {
		const page = await world.open('admin/status/overview', { user });
		const reply = await page.evaluate(async () => {
			const body = { jsonrpc: '2.0', id: 1, method: 'call', params: [ L.env.sessionid, 'uci', 'get', { config: 'dots-callhome-notify' } ] };
			return (await (await fetch(L.env.ubuspath, { method: 'POST', body: JSON.stringify(body) })).json()).result;
		});
		assert.equal(reply[0], outcome, user);
	}
	const page = await world.open('settings', { user: 'guest' });

	await says(page, 'What happens with requests');
	assert.equal(await page.locator('#dots-notify').count(), 0);
}

export async function who_has_no_right_at_all_is_not_bothered(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('admin/status/overview', { user: 'stranger' });

	const other = await world.open('admin/status/overview', { user: 'guest' });

	await eventually(async () => assert.equal(await other.locator('#indicators [data-indicator="dots-callhome"]').count(), 1));
	assert.equal(await page.locator('#indicators [data-indicator="dots-callhome"]').count(), 0);
	assert.doesNotMatch(await page.locator('#maincontent').innerText(), /Garage camera/);
	assert.equal(await call(page, 'list', {}), -32002);
}

export async function the_decision_bears_the_name_of_the_login(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests', { user: 'anna' });

	await press(page, 'This is legitimate');
	await press(page.locator('#modal_overlay .modal'), 'This is legitimate');
	await eventually(() => assert.equal(world.daemon.mitigations[0].decision?.by, 'anna'));
}

export async function nobody_can_decide_under_another_name(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests', { user: 'anna' });

	await says(page, 'Garage camera');
	assert.equal(await call(page, 'approve', { id: 1, ubus_rpc_session: '0'.repeat(32) }), -32602);
	assert.equal(world.daemon.mitigations[0].state, 'pending');
}
