// What is noticed on every page, and on the overview.

import assert from 'node:assert/strict';

import { mitigation, suspect } from './daemon.mjs';
import { eventually, says, seen } from './world.mjs';

const indicator = page => page.locator('#indicators [data-indicator="dots-callhome"]');
const hours = n => Math.floor(Date.now() / 1000) - n * 3600;

export async function the_header_counts_the_requests_that_wait_and_then_is_silent(world) {
	const page = await world.open('admin/status/overview');

	await eventually(async () => assert.ok(world.calls('status').length > 1));
	assert.equal(await indicator(page).count(), 0);
	world.daemon.mitigations = [ mitigation(1) ];
	await eventually(async () => assert.equal(await indicator(page).textContent(), 'DDoS Call Home: 1 request'));
	world.daemon.mitigations.push(mitigation(2));
	await eventually(async () => assert.equal(await indicator(page).textContent(), 'DDoS Call Home: 2 requests'));
	/* Also on a page that knows nothing of us. */
	await page.goto(`${world.url}admin/status/processes`);
	await eventually(async () => assert.equal(await indicator(page).textContent(), 'DDoS Call Home: 2 requests'));
	await indicator(page).click();
	await says(page, 'Waiting for your decision');
	world.daemon.mitigations = [];
	await eventually(async () => assert.equal(await indicator(page).count(), 0));
}

export async function the_overview_shows_what_waits_and_vanishes(world) {
	world.daemon.mitigations = [ 1, 2, 3, 4 ].map(n => mitigation(n, { devices: [ suspect(16 + n) ] }));
	const page = await world.open('admin/status/overview');

	await says(page, '4 requests wait for your decision', 'device-17 – Sends about 3.3 Mbit/s of your upload (4,200 packets a second) to 203.0.113.80, UDP port 53');
	world.daemon.mitigations = [];
	await eventually(async () => assert.doesNotMatch(await seen(page), /DDoS|device-17/));
	world.daemon.mitigations = [ mitigation(9) ];
	await says(page, '1 request waits for your decision');
	await page.getByRole('link', { name: 'Look and decide' }).click();
	await says(page, 'Waiting for your decision', 'Garage camera');
}

export async function a_provider_lost_for_long_is_told_everywhere(world) {
	world.daemon.peers = [ { name: 'isp', state: 'waiting', since: hours(3), retry_in: 60, last_error: 'connection refused' } ];
	const page = await world.open('admin/status/overview');

	await says(page, 'isp: The provider can’t be reached since', 'connection refused');
	await eventually(async () => assert.equal(await indicator(page).textContent(), 'DDoS Call Home: provider unreachable'));
	world.daemon.peers[0].state = 'connected';
	await eventually(async () => assert.equal(await indicator(page).count(), 0));
	await eventually(async () => assert.doesNotMatch(await seen(page), /\bisp\b/));
}

export async function a_provider_lost_a_moment_ago_is_not(world) {
	world.daemon.peers = [ { name: 'isp', state: 'waiting', since: Math.floor(Date.now() / 1000) - 60, retry_in: 60, last_error: 'connection refused' } ];
	const page = await world.open('admin/status/overview');

	await eventually(async () => assert.ok(world.calls('status').length > 2));
	assert.equal(await indicator(page).count(), 0);
	assert.doesNotMatch(await seen(page), /\bisp\b/);
}
