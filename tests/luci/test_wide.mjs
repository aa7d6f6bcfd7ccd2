// Wide targets, the provider's word, and what was said no to.

import assert from 'node:assert/strict';

import { mitigation, veto } from './daemon.mjs';
import { card, closed, dialog, eventually, press, says } from './world.mjs';

const ALL = [ '203.0.113.80/32', '0.0.0.0/2', '64.0.0.0/3', '96.0.0.0/4', '112.0.0.0/5', '128.0.0.0/2', '192.0.0.0/3', '2000::/3' ];
const target = more => ({ prefixes: ALL, ports: [], protocols: [], fqdns: [], uris: [], ...more });

/* The widest of a long list is what is read, and the size is told before anybody decides. */
export async function a_target_that_is_most_of_the_internet_is_told_as_such(world) {
	world.daemon.mitigations = [ mitigation(1, { target: target() }) ];
	const page = await world.open('requests');
	const size = 'This is no single target but about 84% of all IPv4 addresses of the Internet, about 100% of all IPv6 addresses of the Internet.';
	const result = 'Nearly everything that the device does on the Internet stops working.';

	await says(page, 'packets a second) to 2000::/3, 0.0.0.0/2 and 6 more', size, result);
	await press(card(page, 'Garage camera'), 'Block this traffic');
	const text = await dialog(page).innerText();
	for (const part of [ size, result, 'May no longer send to 2000::/3, 0.0.0.0/2 and 6 more' ])
		assert.ok(text.includes(part), text);
	assert.ok(!text.includes('Everything else goes on working'), text);
}

/* Of a brief list the daemon tells only the beginning, but counts all. */
export async function the_daemon_counts_what_it_does_not_list(world) {
	world.daemon.mitigations = [ mitigation(1, { target: target({ prefixes: [ '198.51.0.0/24' ], wide: true, v4_addresses: 25600, v6_networks: 0 }) }) ];
	const page = await world.open('requests');

	await says(page, 'This is no single target but 25,600 IPv4 addresses. Whatever the device does there stops working, the harmless too.');
}

export async function an_ordinary_target_needs_no_warning(world) {
	world.daemon.mitigations = [ mitigation(1), mitigation(2, { target: target({ prefixes: [ '203.0.113.0/24', '2001:db8::/48' ] }) }) ];
	const page = await world.open('requests');

	await says(page, '203.0.113.0/24, 2001:db8::/48');
	assert.ok(!(await page.locator('#maincontent').innerText()).includes('no single target'));
}

export async function names_are_marked_as_the_providers_word(world) {
	world.daemon.mitigations = [ mitigation(1, { target: target({ prefixes: [ '203.0.113.80/32' ], fqdns: [ 'shop.example' ], uris: [ 'https://<b>shop</b>/' ] }) }) ];
	const page = await world.open('requests');

	await says(page, 'Called, by the provider’s word', 'shop.example, https://<b>shop</b>/', '(not checked)',
		'packets a second) to 203.0.113.80, all traffic');
}

export async function what_was_said_no_to_is_shown_and_can_be_taken_back(world) {
	world.daemon.vetoes = [ veto(7), veto(8, { devices: [], targets: [ '198.51.100.0/24' ], cause: 'withdrawn', comment: '<i>why</i>' }) ];
	const page = await world.open('requests');

	await says(page, 'You have said no; here the router asks', 'Garage camera', 'our own backup', 'Every device', '198.51.100.0/24', '<i>why</i>');
	await press(card(page, 'Garage camera'), 'Take back');
	await press(dialog(page), 'Take back');
	await closed(page);
	assert.deepEqual(world.calls('lift'), [ { id: 7 } ]);
	await eventually(async () => assert.equal(await page.getByRole('button', { name: 'Take back' }).count(), 1));
}
