// The page of requests: what a person reads and decides.

import assert from 'node:assert/strict';

import { device, inForce, mitigation, suspect } from './daemon.mjs';
import { CONFIG, card, closed, dialog, eventually, press, says, seen } from './world.mjs';

export async function a_request_is_told_in_plain_words(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await says(page, 'Garage camera', '02:00:00:00:00:11 · 192.168.1.17 · br-lan',
		'Sends about 3.3 Mbit/s of your upload (4,200 packets a second) to 203.0.113.80, UDP port 53, for about 3 minutes.',
		'isp, 3 minutes ago', 'ends in 57 minutes unless the provider renews it', 'Certain');
	assert.equal(await page.getByText('udp 192.168.1.17:4000').isVisible(), false, 'evidence is folded');
	await page.getByText('Evidence: 1 connection').click();
	await says(page, 'udp 192.168.1.17:4000 -> 203.0.113.80:53 as 198.51.100.7:40000', '756,000 packets, 75.6 MB');
}

export async function a_block_names_what_works_afterwards_and_is_in_force_then(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests', { user: 'anna' });

	await press(card(page, 'Garage camera'), 'Block this traffic');
	const text = await dialog(page).innerText();
	for (const part of [ 'May no longer send to 203.0.113.80, UDP port 53.', 'Everything else goes on working', 'stops working' ])
		assert.ok(text.includes(part), text);
	assert.deepEqual(world.calls('approve'), [], 'nothing happens before the answer');
	await dialog(page).locator('select[name=lifetime]').selectOption('3600');
	await press(dialog(page), 'Block this traffic');
	await closed(page);
	assert.deepEqual(world.calls('approve'), [ { id: 1, action: 'block', devices: [ '02:00:00:00:00:11' ], lifetime: 3600, until: 'time' } ]);
	await says(page, 'In force', 'May not send to 203.0.113.80, UDP port 53.', 'Verified: nothing gets through', 'Decided by', /anna, /);
}

export async function a_quarantine_can_be_chosen_instead(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await press(page, 'Quarantine device');
	assert.ok((await dialog(page).innerText()).includes('neither the Internet nor other devices'));
	await press(dialog(page), 'Quarantine device');
	await closed(page);
	assert.deepEqual(world.calls('approve'), [ { id: 1, action: 'quarantine', devices: [ '02:00:00:00:00:11' ] } ]);
	await says(page, 'Cut off from the Internet and from other devices.');
}

export async function legitimate_traffic_is_answered_with_a_note_that_the_history_shows(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await press(page, 'This is legitimate');
	await dialog(page).locator('input[name=comment]').fill('nightly backup');
	await press(dialog(page), 'This is legitimate');
	await closed(page);
	assert.deepEqual(world.calls('reject'), [ { id: 1, comment: 'nightly backup' } ]);
	await says(page, 'Nothing waits for you.', 'Answered as legitimate – root', 'nightly backup', 'Garage camera · 203.0.113.80, UDP port 53 · isp');
}

export async function cancelling_does_nothing(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await press(page, 'Block this traffic');
	await press(dialog(page), 'Cancel');
	await closed(page);
	assert.deepEqual(world.calls('approve'), []);
}

export async function among_several_devices_the_sure_ones_are_chosen_and_the_choice_is_kept(world) {
	world.daemon.mitigations = [ mitigation(1, { devices: [ suspect(18, 'likely'), suspect(19, 'possible'), suspect(20, 'possible') ] }) ];
	const page = await world.open('requests');
	const box = n => page.getByRole('checkbox', { name: `device-${n}` });

	await says(page, '3 devices may be meant', 'Likely', 'Possible');
	assert.deepEqual([ await box(18).isChecked(), await box(19).isChecked(), await box(20).isChecked() ], [ true, false, false ]);
	await box(18).uncheck();
	assert.ok(await page.getByRole('button', { name: 'Block this traffic' }).isDisabled(), 'nobody chosen, nothing to block');
	await box(20).check();
	/* Fresh figures come in; what was chosen stays chosen. */
	const before = world.calls('list').length;
	world.daemon.mitigations[0].devices[2].evidence[0].pps = 99;
	await eventually(() => assert.ok(world.calls('list').length > before + 1));
	await says(page, '(99 packets a second)');
	assert.deepEqual([ await box(18).isChecked(), await box(20).isChecked() ], [ false, true ]);
	await press(page, 'Block this traffic');
	await press(dialog(page), 'Block this traffic');
	await closed(page);
	assert.deepEqual(world.calls('approve')[0].devices, [ '02:00:00:00:00:14' ]);
}

export async function what_is_in_force_counts_live_and_can_be_ended(world) {
	world.daemon.mitigations = [ inForce(1) ];
	const page = await world.open('requests');

	await says(page, '251,220 packets (25.1 MB); now 3.3 Mbit/s (4,200 packets a second)', '57 minutes, unless the provider renews it');
	world.daemon.mitigations[0].dropped = { packets: 300000, bytes: 30000000, pps: 12, bps: 1200 };
	world.daemon.mitigations[0].remaining = 120;
	await says(page, '300,000 packets (30 MB); now 9.6 kbit/s (12 packets a second)', '2 minutes, unless');
	await eventually(async () => assert.match(await page.locator('svg.chart').getAttribute('aria-label'), /now 12, at most 4,187/));
	assert.ok(await page.locator('svg.chart').isVisible());
	await press(page, 'End now');
	assert.ok((await dialog(page).innerText()).includes('passes again at once'));
	await press(dialog(page), 'End now');
	await closed(page);
	assert.deepEqual(world.calls('withdraw'), [ { id: 1 } ]);
	await says(page, 'Nothing waits for you.', 'Ended here – root');
}

export async function a_block_that_leaks_says_so_and_why(world) {
	world.daemon.mitigations = [ inForce(1, { verified: false, detail: 'packets still pass: hardware offload' }), inForce(2, { verified: false }) ];
	const page = await world.open('requests');

	await says(page, 'Not effective', 'packets still pass: hardware offload', 'Taking effect…');
	assert.ok(!(await page.locator('#maincontent').innerText()).includes('Verified'));
}

export async function only_devices_acted_upon_are_said_to_be_blocked(world) {
	world.daemon.mitigations = [ inForce(1, { devices: [ suspect(18, 'exact', { chosen: true }), suspect(19, 'possible', { chosen: false }) ] }) ];
	const page = await world.open('requests');

	await says(page, 'device-18');
	assert.ok(!(await card(page, 'May not send').innerText()).includes('device-19'));
}

export async function a_quiet_and_an_ending_block_say_so(world) {
	world.daemon.mitigations = [ inForce(1, { state: 'stopped' }), inForce(2, { state: 'terminating', remaining: 100 }) ];
	const page = await world.open('requests');

	await says(page, 'In force, quiet', 'Ending', '2 minutes, then it ends: the provider no longer asks for it');
}

export async function a_request_without_a_device_yet_is_shown_apart(world) {
	world.daemon.mitigations = [ mitigation(1, { state: 'searching', devices: [] }) ];
	const page = await world.open('requests');

	await says(page, 'Device not found yet', 'The router keeps looking while the request lasts.', 'Nothing waits for you.');
	assert.equal(await page.getByRole('button', { name: 'Block this traffic' }).count(), 0);
	/* The device shows up: the card moves to where a decision is waited for. */
	Object.assign(world.daemon.mitigations[0], { state: 'pending', devices: [ suspect(17) ] });
	await says(page, 'Waiting for your decision', 'device-17');
}

export async function where_the_router_only_observes_nothing_can_be_blocked(world) {
	world.daemon.consent = 'observe';
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await says(page, 'This router only observes');
	assert.equal(await page.getByRole('button', { name: 'Block this traffic' }).count(), 0);
}

export async function the_second_of_two_administrators_is_told(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const first = await world.open('requests', { user: 'anna' }), second = await world.open('requests');

	await press(first, 'Block this traffic');
	await press(second, 'This is legitimate');
	await press(dialog(first), 'Block this traffic');
	await closed(first);
	await press(dialog(second), 'This is legitimate');
	await eventually(async () => assert.match(await dialog(second).innerText(),
		/This request has been decided: the traffic is blocked. Decided by anna, just now/));
	assert.equal(world.daemon.mitigations[0].state, 'active', 'the first decision stands');
	assert.ok(await dialog(second).getByRole('button', { name: 'This is legitimate' }).isDisabled());
	await press(dialog(second), 'Cancel');
	await says(second, 'In force');
}

export async function whoever_loses_the_race_is_told_by_the_daemon(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await press(page, 'Block this traffic');
	/* Decided between the last look and the call. */
	const [ m ] = world.daemon.mitigations;
	let looks = 0;
	Object.defineProperty(m, 'state', { enumerable: true, get: () => ++looks > 1 ? 'rejected' : 'pending', set() {} });
	m.decision = { by: 'anna', at: Date.now() / 1000 };
	world.daemon.mitigations = [ m ];
	await press(dialog(page), 'Block this traffic');
	await eventually(async () => assert.match(await dialog(page).innerText(), /the traffic is legitimate/));
}

export async function a_wide_request_is_summed_up_and_can_be_unfolded(world) {
	world.daemon.mitigations = [ mitigation(1, { target: { prefixes: [ '203.0.113.0/24', '192.0.2.1/32', '2001:db8::1/128', '2001:db8:1::/48' ],
		ports: [ '53', '9000-9999' ], protocols: [ 6, 17 ], fqdns: [ 'shop.example' ], uris: [] } }) ];
	const page = await world.open('requests');

	await says(page, '203.0.113.0/24, 2001:db8:1::/48 and 2 more, TCP/UDP ports 53, 9000–9999');
	await page.getByText('What the provider named').click();
	await says(page, '203.0.113.0/24, 192.0.2.1/32, 2001:db8::1/128, 2001:db8:1::/48', 'shop.example', '198.51.100.7/32', '1001 of dz6pHjaADkaFTbjr0JGBpw');
}

export async function a_device_that_has_stopped_sending_is_not_said_to_send(world) {
	const quiet = suspect(17);
	Object.assign(quiet.evidence[0], { pps: 0, bps: 0, seen: Math.floor(Date.now() / 1000) - 600 });
	world.daemon.mitigations = [ mitigation(1, { devices: [ quiet ], target: {} }), mitigation(2, { devices: [ device(18, { confidence: 'likely' }) ] }) ];
	const page = await world.open('requests');

	await says(page, 'Stopped 10 minutes ago, after 760,000 packets to every address, all traffic.', 'Has had connections to 203.0.113.80, UDP port 53.');
}

export async function a_device_that_is_exempt_can_not_be_chosen(world) {
	world.configure(`${CONFIG}\nconfig device\n\toption mac '02:00:00:00:00:13'\n\toption policy 'exempt'\n`);
	world.daemon.mitigations = [ mitigation(1, { devices: [ suspect(18), suspect(19) ] }) ];
	const page = await world.open('requests');

	await says(page, 'A standing rule says: never touch this device.');
	assert.ok(await page.getByRole('checkbox', { name: 'device-19' }).isDisabled());
	await press(page, 'Block this traffic');
	await press(dialog(page), 'Block this traffic');
	await closed(page);
	assert.deepEqual(world.calls('approve')[0].devices, [ '02:00:00:00:00:12' ]);
	await says(page, 'In force');
	assert.doesNotMatch(await card(page, 'May not send').innerText(), /device-19/);
}

export async function a_list_too_long_for_its_evidence_is_filled_up(world) {
	const full = mitigation(1), brief = structuredClone(full);
	brief.devices[0].evidence = [];
	world.daemon.mitigations = [ full ];
	world.daemon.listed = { mitigations: [ brief ], omitted: 7 };
	const page = await world.open('requests');

	await says(page, '(4,200 packets a second)', 'Evidence: 1 connection', '7 more requests are not listed here.');
	const before = world.calls('list').length;
	await eventually(() => assert.ok(world.calls('list').length > before + 1));
	await says(page, 'packets a second)');
}

export async function decisions_that_cannot_be_kept_are_told(world) {
	world.daemon.notKept = '/etc/dots-callhome/decisions: No space left on device';
	const page = await world.open('requests');

	await says(page, 'What is decided now would not survive a reboot:', 'No space left on device');
	world.daemon.notKept = null;
	await eventually(async () => assert.doesNotMatch(await seen(page), /reboot/));
}

export async function decisions_that_could_not_be_read_are_told(world) {
	world.daemon.notRead = '/etc/dots-callhome/decisions.cbor: it is too large';
	const page = await world.open('requests');

	await says(page, 'could not be read:', 'it is too large', 'quarantine again');
	world.daemon.notRead = null;
	await eventually(async () => assert.doesNotMatch(await seen(page), /too large/));
}

export async function where_nobody_is_told_the_page_says_so(world) {
	let page = await world.open('requests');

	await says(page, 'You will see requests only here.', 'Tell me on my telephone');
	world.tell('config notify \'notify\'\n\toption email \'me@isp.example\'\n');
	page = await world.open('requests');
	await says(page, 'Nothing waits for you.');
	assert.doesNotMatch(await page.locator('#view').innerText(), /only here/);
	page = await world.open('requests', { user: 'guest' });
	await says(page, 'Nothing waits for you.');
	assert.doesNotMatch(await page.locator('#view').innerText(), /only here/);
}
