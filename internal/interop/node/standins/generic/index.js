'use strict';

// What @degenerate/realtime needs of @degenerate/generic at run time.

const { z } = require('zod');

// SAFE_INTEROP_PROOF=required makes a proof mandatory in every proposal.
const proof = z.record(z.string(), z.unknown());
exports.IShareDataCryptoProofSchema = process.env.SAFE_INTEROP_PROOF === 'required' ? proof : proof.optional();

exports.AuthorizationAudience = { SHAREDATA: 'SHAREDATA' };

// Here authorities are a Map from tokens to payloads, and nothing is signed.
exports.verifyJwtBearerTokenForAudience = (token, authorities) => {
  const payload = authorities.get(token);
  if (!payload) {
    throw new Error('unknown token');
  }
  return payload;
};
