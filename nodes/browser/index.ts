/** What a page imports: a member over WebSockets and WebRTC, without any Node built-in. */
export * from '../../src/index.ts'
export * from '../../src/browser.ts'
export { pageIdentity } from './identity.ts'
export { BrowserMember } from './member.ts'
export type { BrowserMemberOptions, MemberEvent } from './member.ts'
