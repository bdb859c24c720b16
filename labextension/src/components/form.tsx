import type { TranslationBundle } from '@jupyterlab/translation';
import { FormComponent } from '@jupyterlab/ui-components';
import type { RJSFSchema, RJSFValidationError } from '@rjsf/utils';
import { customizeValidator } from '@rjsf/validator-ajv8';
import type { ReadonlyJSONObject } from '@lumino/coreutils';
import * as React from 'react';
import { elapsed } from '../format';
import { Refusal } from '../rest';
import type { IModel, INewCluster, IOffer, IPreview, IProblem } from '../tokens';

/** What is being asked for; kept between two openings of the form. */
export interface IDraft {
  value: INewCluster;
}

interface IProps {
  readonly model: IModel;
  readonly draft: IDraft;
  readonly trans: TranslationBundle;
}

const FIRST = ['name', 'workers', 'gpus', 'cpu', 'memory'];
const LATER = ['image', 'idle_timeout', 'queue'];
const QUIET_MS = 250;
const UI = { 'ui:submitButtonOptions': { norender: true } };
const validator = customizeValidator<ReadonlyJSONObject>();

/** A profile, its fields as its JSON schema has them, what is wrong with them, and the YAML that they stand for. */
export function NewClusterForm({ model, draft, trans }: IProps): React.ReactElement {
  const [offers, setOffers] = React.useState<readonly IOffer[]>([]);
  const [problem, setProblem] = React.useState<IProblem | null>(null);
  const [value, setValue] = React.useState(draft.value);

  React.useEffect(() => {
    model.profiles().then(setOffers, error => setProblem(told(error)));
  }, [model]);

  const offered = React.useRef<HTMLFieldSetElement>(null);
  // The dialog was given the focus before there was anything to choose.
  React.useEffect(() => {
    const dialog = offered.current?.closest('.jp-Dialog');
    if (offers.length && dialog?.contains(document.activeElement)) {
      offered.current?.querySelector<HTMLElement>('input:checked')?.focus();
    }
  }, [offers]);

  const change = (next: INewCluster) => {
    draft.value = next;
    setValue(next);
  };
  const offer =
    offers.find(each => each.name === value.profile) ?? offers.find(each => each.default);
  const { preview, mistake } = usePreview(model, offer && { ...value, profile: offer.name });

  return (
    <div className="jp-kuberay-New">
      <fieldset className="jp-kuberay-Offers" ref={offered}>
        <legend>{trans.__('Profile')}</legend>
        {offers.map(each => (
          <label key={each.name} className="jp-kuberay-Offer">
            <input
              type="radio"
              name="profile"
              checked={each === offer}
              // What another profile's fields were set to means nothing in this one.
              onChange={() => change({ name: value.name, profile: each.name })}
            />
            <span>
              <strong>{each.title || each.name}</strong>
              <span className="jp-kuberay-Remedy">{each.description}</span>
            </span>
          </label>
        ))}
      </fieldset>
      {offer && <Fields offer={offer} fields={FIRST} value={value} change={change} trans={trans} />}
      {offer && (
        <details>
          <summary>{trans.__('More')}</summary>
          <Fields offer={offer} fields={LATER} value={value} change={change} trans={trans} />
        </details>
      )}
      <Verdict problem={problem ?? mistake} preview={preview} trans={trans} />
      {offer && <Usual seconds={model.usual(offer.name)} trans={trans} />}
    </div>
  );
}

function Fields(props: {
  offer: IOffer;
  fields: readonly string[];
  value: INewCluster;
  change: (value: INewCluster) => void;
  trans: TranslationBundle;
}): React.ReactElement {
  const { offer, fields, value, change, trans } = props;
  const schema = React.useMemo(() => part(offer.form, fields), [offer, fields]);
  // What was not set is left out: the schema's default is shown there.
  const shown = Object.fromEntries(
    fields.filter(name => value[name] !== undefined).map(name => [name, value[name]])
  ) as ReadonlyJSONObject;
  const form = React.useRef<HTMLDivElement>(null);
  // Lab's fields show their names beside them, where a screen reader does not look.
  React.useLayoutEffect(() => {
    form.current?.querySelectorAll('input[label], select[label]').forEach(field => {
      field.setAttribute('aria-label', field.getAttribute('label')!);
    });
  });
  return (
    <div ref={form}>
      <FormComponent
        schema={schema}
        validator={validator}
        formData={shown}
        liveValidate
        transformErrors={errors =>
          errors.map(error => ({ ...error, message: words(error, trans) }))
        }
        showErrorList={false}
        compact
        tagName="div"
        className="jp-kuberay-Fields"
        uiSchema={UI}
        onChange={event => change({ ...value, ...(event.formData as object) })}
      >
        <></>
      </FormComponent>
    </div>
  );
}

/** From earlier starts; nothing where there were none. */
function Usual(props: {
  seconds: number | null;
  trans: TranslationBundle;
}): React.ReactElement | null {
  const { seconds, trans } = props;
  return seconds === null ? null : (
    <div className="jp-kuberay-Remedy">
      {trans.__('It is usually ready in %1.', elapsed(seconds))}
    </div>
  );
}

/** What is wrong, instead of the expression that does not match. */
function words(error: RJSFValidationError, trans: TranslationBundle): string | undefined {
  if (error.name !== 'pattern') {
    return error.message;
  }
  return error.property === '.name'
    ? trans.__('Lower-case letters, digits and hyphens, beginning with a letter.')
    : trans.__('A quantity, such as 2, 500m or 8Gi.');
}

function Verdict(props: {
  problem: IProblem | null;
  preview: IPreview | null;
  trans: TranslationBundle;
}): React.ReactElement {
  const { problem, preview, trans } = props;
  return (
    <div className="jp-kuberay-Verdict">
      <div role="status">
        {problem && (
          <div className="jp-kuberay-Mistake">
            {problem.message} <span className="jp-kuberay-Remedy">{problem.hint}</span>
          </div>
        )}
        {preview?.warnings.map(warning => (
          <div key={warning}>{warning}</div>
        ))}
      </div>
      {preview && (
        <details>
          <summary>{trans.__('YAML')}</summary>
          <pre className="jp-kuberay-Yaml" tabIndex={0}>
            {preview.yaml}
          </pre>
        </details>
      )}
    </div>
  );
}

/** What the server makes of `asked`, once typing rests; the last answer stays until the next one comes. */
function usePreview(
  model: IModel,
  asked: INewCluster | undefined
): { preview: IPreview | null; mistake: IProblem | null } {
  const [answer, setAnswer] = React.useState<{
    preview: IPreview | null;
    mistake: IProblem | null;
  }>({ preview: null, mistake: null });
  const key = asked && JSON.stringify(asked);
  React.useEffect(() => {
    if (key === undefined) {
      return;
    }
    let wanted = true;
    const timer = setTimeout(() => {
      model.preview(JSON.parse(key) as INewCluster).then(
        preview => wanted && setAnswer({ preview, mistake: null }),
        error => wanted && setAnswer({ preview: null, mistake: told(error) })
      );
    }, QUIET_MS);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [model, key]);
  return answer;
}

function told(error: unknown): IProblem {
  return error instanceof Refusal
    ? error.problem
    : { message: String(error), hint: '', kind: 'Unexpected' };
}

/** A schema's `fields`, in this order. */
function part(form: RJSFSchema, fields: readonly string[]): RJSFSchema {
  const properties = (form.properties ?? {}) as Record<string, RJSFSchema>;
  const required = (form.required ?? []).filter(name => fields.includes(name));
  return {
    type: 'object',
    properties: Object.fromEntries(
      fields.filter(name => name in properties).map(name => [name, properties[name]])
    ),
    required
  };
}
