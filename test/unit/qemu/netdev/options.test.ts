import { parseFilter, readFilter } from '../../../../src/qemu/netdev/filter-options';

const parse = (text: string) => parseFilter(text, 'hn0');

test('defaults are QEMU’s', () => {
  expect(parse('mirror,id=m0,outdev=c0')).toEqual({
    type: 'mirror',
    id: 'm0',
    queue: 'all',
    place: { position: 'tail', insert: 'behind' },
    on: undefined,
    indev: undefined,
    outdev: 'c0',
    vnetHdrSupport: false,
    failOpen: false,
    state: undefined,
    maxFlows: 65536,
  });
});

test('every option, and QEMU’s own way to write it', () => {
  const text =
    'filter-redirector,id=r0,netdev=hn0,queue=rx,indev=a,outdev=b,position=id=rew0,insert=before,status=off,vnet_hdr_support=on,fail_open=on';
  expect(parse(text)).toMatchObject({
    ...{ type: 'redirector', id: 'r0', queue: 'rx', indev: 'a', outdev: 'b', on: false },
    ...{ place: { position: { id: 'rew0' }, insert: 'before' }, vnetHdrSupport: true, failOpen: true },
  });
  expect(parse('rewriter,id=w,state=/a,,b,max_flows=7,position=head')).toMatchObject({
    state: '/a,b',
    maxFlows: 7,
    place: { position: 'head' },
  });
});

// The texts of an installed QEMU 7.2 for the same mistakes.
test.each([
  ['mirror,id=m0', "Parameter 'outdev' is missing"],
  ['mirror,outdev=c0', "Parameter 'id' is missing"],
  ['mirror,id=0a,outdev=c0', "Parameter 'id' expects an identifier"],
  ['mirror,id=m0,netdev=other,outdev=c0', "Parameter 'netdev' expects a network backend id"],
  ['mirror,id=m0,outdev=c0,queue=xx', "Parameter 'queue' does not accept value 'xx'"],
  ['mirror,id=m0,outdev=c0,status=maybe', "Invalid value for netfilter status, should be 'on' or 'off'"],
  ['mirror,id=m0,outdev=c0,position=middle', "Parameter 'position' expects 'head', 'tail' or 'id=<id>'"],
  ['mirror,id=m0,outdev=c0,position=', "Parameter 'position' expects 'head', 'tail' or 'id=<id>'"],
  ['mirror,id=m0,outdev=c0,insert=over', "Parameter 'insert' does not accept value 'over'"],
  ['mirror,id=m0,outdev=c0,colour=red', "Invalid parameter 'colour'"],
  ['mirror,id=m0,outdev=c0,vnet_hdr_support=maybe', "Parameter 'vnet_hdr_support' expects 'on' or 'off'"],
  ['redirector,id=m0', "filter redirector needs 'indev' or 'outdev' at least one property set"],
  ['redirector,id=m0,indev=c0,outdev=c0', "'indev' and 'outdev' could not be same for filter redirector"],
  ['nothing,id=m0', "Parameter 'qom-type' does not accept value 'nothing'"],
  // What QEMU does not have to say.
  ['mirror,id=m0,outdev=a,outdev=b', "Parameter 'outdev' is given twice"],
  ['mirror,id=m0,outdev=a,indev=b', "Invalid parameter 'indev'"],
  ['rewriter,id=m0,max_flows=0', "Parameter 'max_flows' expects a number between 1 and"],
  ['rewriter,id=m0,max_flows=1e3', "Parameter 'max_flows' expects a number between 1 and"],
])('%s: %s', (text, words) => {
  expect(() => parse(text)).toThrow(words);
});

test('a raw object reads the same', () => {
  expect(readFilter({ type: 'mirror', id: 'm0', outdev: 'c0', status: 'on' }, 'hn0').on).toBe(true);
});
